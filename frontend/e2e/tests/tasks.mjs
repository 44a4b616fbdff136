/** What people come for, with the number of things that they do for it. */
import assert from 'node:assert/strict';
import { ServerClock } from '../harness/clock.mjs';
import { DiskWriter, nanoseconds, p99 } from '../harness/disk.mjs';
import { Person } from '../harness/person.mjs';
import { Server, settledState } from '../harness/server.mjs';
import { eventually, skip, test, testOnEachStore } from '../harness/suite.mjs';

const DAY = 86_400;
const at = (ms) => new Date(ms).toISOString();
const chart = (page, name) => page.getByRole('img', { name });
const live = (page) => page.getByText('Live, every 1 s').first();

/** The distribution of a disk's requests over the time before `end`. */
async function distribution(server, session, path, end, length = 60_000) {
  const query = new URLSearchParams({
    metric_type: 'block_io',
    fields: path,
    interval: 'range',
    start_time: at(end - length),
    end_time: at(end),
  });
  const { data_points } = await server.call(session, 'GET', `/api/history/metrics?${query}`);
  return path.split('.').reduce((value, name) => value?.[name], data_points[0]?.data);
}

async function diskRequests(server, session, end, atLeast = 20) {
  await eventually(
    `${atLeast} disk requests`,
    async () => {
      const found = await distribution(server, session, 'total.histogram', end());
      return (found?.count ?? 0) >= atLeast;
    },
    { within: 60_000, every: 500 },
  );
}

test('task: one core’s history, in two actions', async ({ browser, server, session }) => {
  const page = await browser.page({ server, session });
  await page.goto('/?range=1m');
  await live(page).waitFor();
  const person = new Person(page);
  const strip = chart(page, /^Usage of \d+ cores?/);
  const cores = Number(/of (\d+) core/.exec(await strip.getAttribute('aria-label'))[1]);
  const core = cores - 1;
  await person.pointAt(strip, 0.9, (core + 0.5) / cores);
  await person.click(page.getByRole('link', { name: `History of core ${core}` }));
  await page.waitForURL((url) => url.searchParams.get('p') === `cpu:per_core.${core}`);
  assert.equal(new URL(page.url()).searchParams.get('range'), '1m');
  await chart(page, `CPU: Core ${core}`).waitFor();
  await page.getByRole('row', { name: new RegExp(`^Core ${core} [\\d.]+ %`) }).waitFor();
  assert.ok(person.actions <= 2, String(person.actions));
  assert.deepEqual(page.problems, []);
});

testOnEachStore(
  'task: the p99 of one disk over a week, in three actions',
  async ({ browser, server, session, cleanup }) => {
    if ((await settledState(server, session, 'block_io')) !== 'active')
      skip('disk latencies are not measured on this machine');
    const writer = await DiskWriter.start();
    cleanup(() => writer.stop());
    await diskRequests(server, session, Date.now);
    const page = await browser.page({ server, session });
    await page.goto('/?range=5m');
    await live(page).waitFor();
    const select = page.getByLabel('Device and direction');
    const choices = await select.locator('option').evaluateAll((all) => all.map(({ value }) => value));
    const disk = choices.find((value) => /^block_io\.devices\..*write$/.test(value));
    assert.ok(disk, choices.join());

    const person = new Person(page);
    await person.choose(select, disk);
    await person.click(page.getByRole('link', { name: 'Open Block I/O latency in History' }));
    // The disk is written to meanwhile: each answer is of a little more.
    const field = `${disk.slice('block_io.'.length)}.histogram`;
    let week;
    page.on('response', async (response) => {
      const { searchParams } = new URL(response.url());
      const [from, to] = ['start_time', 'end_time'].map((end) => Date.parse(searchParams.get(end)));
      const isOfPanel = searchParams.get('fields') === field && searchParams.get('interval') === 'range';
      if (!isOfPanel || to - from < 6.9 * DAY * 1000) return;
      // An answer may be of a page that is gone, or of a store without anything yet.
      const answer = await response.json().catch(() => null);
      week = field.split('.').reduce((value, name) => value?.[name], answer?.data_points[0]?.data) ?? week;
    });
    await person.click(page.getByRole('button', { name: '7 d', exact: true }));
    assert.ok(person.actions <= 3, String(person.actions));

    // The quantile of all events of the week, not a mean of quantiles.
    const shown = page.getByRole('row', { name: /^Whole range/ });
    await eventually('the p99 of the week', async () => {
      if (week === undefined) return false;
      const [low, high] = p99(week);
      const [, value] = await shown.locator('td').allInnerTexts();
      return nanoseconds(value) >= low * 0.99 && nanoseconds(value) <= high * 1.01;
    });
    assert.deepEqual(page.problems, []);
  },
);

test('task: disk latency against yesterday, in four actions', async ({ browser, cleanup }) => {
  const clock = await ServerClock.make();
  if (clock === null) skip('no C compiler on this machine');
  cleanup(() => clock.remove());
  await clock.setAhead(-DAY);
  const server = await Server.start(clock.env);
  cleanup(() => server.stop());
  const yesterday = await server.login();
  if ((await settledState(server, yesterday, 'block_io')) !== 'active')
    skip('disk latencies are not measured on this machine');
  const writer = await DiskWriter.start();
  cleanup(() => writer.stop());
  await diskRequests(server, yesterday, () => Date.now() - DAY * 1000);
  await clock.setAhead(0);
  const session = await server.login();
  await diskRequests(server, session, Date.now);

  const page = await browser.page({ server, session });
  await page.goto('/?range=5m');
  await live(page).waitFor();
  const person = new Person(page);
  const select = page.getByLabel('Device and direction');
  await person.choose(select, 'block_io.total');
  await person.click(page.getByRole('link', { name: 'Open Block I/O latency in History' }));
  await person.click(page.getByRole('button', { name: 'Compare', exact: true }));
  await person.click(page.getByRole('button', { name: 'a day earlier' }));
  // Median, p99 and maximum of both ranges, and their change.
  const time = '[\\d.]+ (ns|µs|ms|s)';
  await page.getByRole('row', { name: new RegExp(`^Total (${time} vs ${time} .*?){3}$`) }).waitFor();
  await chart(page, /^Block I\/O: Total, p99 in both ranges/).waitFor();
  assert.ok(person.actions <= 4, String(person.actions));
  assert.deepEqual(page.problems, []);
});

testOnEachStore(
  'task: exactly this is shared by its address alone',
  async ({ browser, server, session, store }) => {
    const page = await browser.page({ server, session });
    const to = Math.floor(Date.now() / 1000) * 1000;
    const query = new URLSearchParams({ from: at(to - 600_000), to: at(to) });
    for (const panel of ['cpu:usage_percent,user', 'scheduler:runqueue_wait.histogram', 'cpu:per_core'])
      query.append('p', panel);
    await page.goto(`/history?${query}`);
    const person = new Person(page);
    await person.click(page.getByRole('button', { name: 'Move earlier: CPU: All cores' }));
    await page.waitForURL((url) => url.searchParams.getAll('p')[1] === 'cpu:per_core');

    const username = `reader-${store.name.toLowerCase()}`;
    const account = { username, password: 'another horse, another staple', role: 'viewer' };
    await server.call(session, 'POST', '/api/users', account);
    const reader = await server.login(account.username, account.password);
    const other = await browser.page({ server, session: reader });
    await other.goto(page.url());
    const seen = async (one) => {
      await one.getByRole('table').nth(2).waitFor();
      return {
        range: await one.getByRole('button', { name: /^Range: / }).innerText(),
        panels: await one.locator('.board > section h2').allInnerTexts(),
        numbers: await one.getByRole('row').allInnerTexts(),
      };
    };
    await eventually('the same on both', async () => {
      const [mine, theirs] = [await seen(page), await seen(other)];
      return mine.numbers.length > 5 && JSON.stringify(mine) === JSON.stringify(theirs);
    });
    assert.deepEqual((await seen(other)).panels, [
      'CPU: Usage, User',
      'CPU: All cores',
      'Scheduler: Run queue wait',
    ]);
    assert.deepEqual([...page.problems, ...other.problems], []);
  },
);
