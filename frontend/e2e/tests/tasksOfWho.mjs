/** Who it was: everyday tasks about processes and services, with the number of things that a person does for them. */
import assert from 'node:assert/strict';
import { accounted, measured } from '../harness/accounts.mjs';
import { Cgroup } from '../harness/cgroup.mjs';
import { ServerClock } from '../harness/clock.mjs';
import { NamedHog } from '../harness/load.mjs';
import { Person } from '../harness/person.mjs';
import { Server } from '../harness/server.mjs';
import { eventually, skip, test, testOnEachStore } from '../harness/suite.mjs';

const HOUR_MS = 3_600_000;
const live = (page) => page.getByText('Live, every 1 s').first();
const nav = (page, name) => page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name });
const table = (page, name) => page.getByRole('table', { name });
const megabytes = (text) => {
  const [, value, unit] = /([\d.]+) ([KMG])iB(?!\/)/.exec(text) ?? [];
  return Number(value) * { K: 1 / 1024, M: 1, G: 1024 }[unit];
};

test('task: it was slow an hour ago, and who it was, in two actions', async ({ browser, cleanup }) => {
  const clock = await ServerClock.make();
  if (clock === null) skip('no C compiler on this machine');
  cleanup(() => clock.remove());
  await clock.setAhead(-HOUR_MS / 1000);
  const server = await Server.start(clock.env);
  cleanup(() => server.stop());
  const then = await server.login();
  if (!(await measured(server, then))) skip('processes cannot be measured on this machine');
  const name = `slow-${process.pid}`;
  const hog = await NamedHog.start(name);
  cleanup(() => hog.stop());
  await accounted(server, then, name, { cpuSeconds: 5, behind: HOUR_MS });
  await hog.stop();
  await clock.setAhead(0);
  const session = await server.login();

  const page = await browser.page({ server, session });
  await page.goto('/?range=15m');
  await live(page).waitFor();
  const person = new Person(page);
  // The overview is the last day: an hour is a twenty-fourth of its width.
  await person.clickAt(page.locator('[data-scrubber]'), 1 - 1 / 24);
  await person.click(nav(page, 'Who'));
  const row = table(page, 'Processes').getByRole('row', { name });
  await row
    .getByText(/[\d.]+ %/)
    .first()
    .waitFor();
  assert.ok(person.actions <= 3, `${person.actions} actions`);
  assert.deepEqual(page.problems, []);
});

testOnEachStore(
  'task: the processes in a spike of ten seconds, in two actions',
  async ({ browser, server, session, store, cleanup }) => {
    if (!(await measured(server, session))) skip('processes cannot be measured on this machine');
    const name = `spike-${store.name.slice(0, 2)}-${process.pid}`;
    const before = Date.now();
    const hog = await NamedHog.start(name);
    cleanup(() => hog.stop());
    await accounted(server, session, name, { cpuSeconds: 3 });
    const { pid } = hog;
    await hog.stop();
    const after = Date.now();

    const page = await browser.page({ server, session });
    await page.goto('/?range=5m');
    const chart = page.locator('#cpu [role=img]').first();
    const person = new Person(page);
    await person.select(chart, { from: before - 5000, to: after, length: 300_000 });
    await person.click(page.getByRole('button', { name: 'Who', exact: true }));
    await page.waitForURL((url) => url.pathname === '/who' && url.searchParams.has('from'));
    const row = table(page, 'Processes').getByRole('row', { name });
    await row
      .getByText(/[\d.]+ %/)
      .first()
      .waitFor();
    assert.ok(person.actions <= 2, `${person.actions} actions`);

    // It has exited, and has its page all the same.
    await row.getByRole('link', { name, exact: true }).click();
    await page.waitForURL((url) => url.pathname === `/who/process/${pid}`);
    await page.getByRole('img', { name: /^CPU, percent of one/ }).waitFor();
    assert.deepEqual(page.problems, []);
  },
);

test('task: the service that takes the memory, in two actions', async ({
  browser,
  server,
  session,
  cleanup,
}) => {
  if (!(await measured(server, session))) skip('processes cannot be measured on this machine');
  const name = `hungry-${process.pid}.slice`;
  const group = await Cgroup.make(name);
  if (group === null) skip('no cgroup can be made on this machine');
  cleanup(() => group.remove());
  // As much as nothing else on a machine for tests; then it does nothing, without a child that would outlive it.
  const script = 'text=$(head -c 600000000 /dev/zero | tr "\\0" x); kill -STOP $$';
  const eater = await NamedHog.start('eater', [], script);
  cleanup(() => eater.stop());
  await group.add(eater);

  const page = await browser.page({ server, session });
  await page.goto('/?range=5m');
  await live(page).waitFor();
  const person = new Person(page);
  await person.click(page.getByRole('link', { name: 'Who: Memory' }));
  const row = table(page, 'Services & containers').getByRole('row', { name });
  await row
    .getByText(/[5-9]\d\d MiB/)
    .first()
    .waitFor();
  // Those above it have more.
  const all = await table(page, 'Services & containers').locator('[role=row]').allInnerTexts();
  const place = all.findIndex((text) => text.includes(name));
  const more = all.slice(0, place).map(megabytes).filter(Number.isFinite);
  assert.ok(
    more.every((value) => value > 400),
    all.slice(0, place + 1).join('\n'),
  );
  await person.click(row.getByRole('link', { name, exact: true }));
  await page.waitForURL((url) => url.pathname === `/who/cgroup/${name}`);
  await page.getByRole('img', { name: /^Memory/ }).waitFor();
  assert.ok(person.actions <= 2, `${person.actions} actions`);
  assert.deepEqual(page.problems, []);
});

test('task: one process over a day, which has exited since, in three actions', async ({
  browser,
  server,
  session,
  cleanup,
}) => {
  if (!(await measured(server, session))) skip('processes cannot be measured on this machine');
  const name = `past-${process.pid}`;
  const hog = await NamedHog.start(name);
  cleanup(() => hog.stop());
  await accounted(server, session, name, { cpuSeconds: 5 });
  const { pid } = hog;
  await hog.stop();
  const page = await browser.page({ server, session });
  await page.goto('/?range=5m');
  await live(page).waitFor();
  const person = new Person(page);
  await person.press('/');
  await person.type(page.getByRole('combobox', { name: 'Search everything' }), name);
  const found = page.getByRole('listbox', { name: 'Found' }).getByRole('option');
  const best = new RegExp(`^${name} \\(${pid}\\)\\s+exited`);
  await eventually('the process that has exited', async () => best.test(await found.first().innerText()));
  await person.press('Enter');
  // Also before the page has come.
  await person.click(page.getByRole('button', { name: '24 h', exact: true }));
  await page.waitForURL((url) => url.pathname === `/who/process/${pid}`);
  await page.waitForURL((url) => url.searchParams.get('range') === '24h');
  await page.getByText('This process has exited.').waitFor();
  await page.getByText(/^peak [\d.]+ %, .* in all$/).waitFor();
  await page.getByRole('img', { name: /^CPU, percent of one/ }).waitFor();
  assert.ok(person.actions <= 3, `${person.actions} actions`);
  assert.deepEqual(page.problems, []);
});
