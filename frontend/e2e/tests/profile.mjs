/** Profile: which code ran, as a flame graph and a table, and what changed. */
import assert from 'node:assert/strict';
import { seriousViolations } from '../harness/axe.mjs';
import { Burner, profiled } from '../harness/burner.mjs';
import { selectOn } from '../harness/charts.mjs';
import { NamedHog } from '../harness/load.mjs';
import { settledState } from '../harness/server.mjs';
import { eventually, skip, test } from '../harness/suite.mjs';
import { phone as touch } from '../harness/touch.mjs';

const graph = (page) => page.getByRole('application', { name: /Arrow keys/ });
const table = (page, name = 'Functions') => page.getByRole('table', { name, exact: true });
const row = (page, name) => table(page).getByRole('row', { name });
const zoomed = (page) => page.getByRole('navigation', { name: 'Zoomed frame' });
const matched = (page) => page.locator('[data-matched]');
const percent = (text) => Number(/([\d.]+) %/.exec(text)?.[1]);
const parameter = (page, name) => new URL(page.url()).searchParams.get(name);

async function burning(server, session, cleanup, args) {
  if ((await settledState(server, session, 'profile')) !== 'active')
    skip('stacks cannot be sampled on this machine');
  const name = `burner-${process.pid % 1e5}`;
  const burner = await Burner.start(name, args);
  if (burner === null) skip('no C compiler on this machine');
  cleanup(() => burner.stop());
  return { name, pid: burner.pid };
}

/** Clicks on a row of frames. */
async function clickRow(page, depth, x = 0.3) {
  const box = await graph(page).boundingBox();
  await page.mouse.click(box.x + x * box.width, box.y + depth * 20 + 10);
}

test(
  'profile: the function that burns is found, zoomed, searched and kept in the address',
  async ({ browser, server, session, cleanup }) => {
    const { name, pid } = await burning(server, session, cleanup);
    await profiled(server, session, name);
    const page = await browser.page({ server, session, bypassCSP: true });
    await page.goto('/profile?range=5m');
    // The list of processes is what it can be narrowed to.
    await page.getByRole('combobox', { name: 'Only one: Process' }).selectOption(name);
    await page.waitForURL((url) => url.searchParams.get('process') === name);
    await page.locator('[data-chip]').getByText(name).waitFor();
    await page
      .locator('[data-facts]')
      .getByText(/CPU time/)
      .waitFor();

    // `burn` is where it is; `heavy_loop` has three quarters of that with its callees.
    await row(page, /^heavy_loop/).waitFor();
    await page.getByRole('button', { name: 'Total', exact: true }).click();
    const total = async (fn) =>
      percent(
        await row(page, new RegExp(`^${fn}`))
          .getByRole('cell')
          .nth(2)
          .innerText(),
      );
    const [heavy, light] = [await total('heavy_loop'), await total('light_loop')];
    assert.ok(heavy > 60 && heavy < 90, `heavy_loop: ${heavy} %`);
    assert.ok(light > 10 && light < 40, `light_loop: ${light} %`);

    // Both loops call `burn`, and nothing but `work` calls them.
    await row(page, /^heavy_loop/)
      .getByRole('button')
      .click();
    const calls = page.getByRole('region', { name: /^heavy_loop/ });
    await calls.getByRole('button', { name: /^work/ }).waitFor();
    await calls.getByRole('button', { name: /^burn/ }).click();
    await page
      .getByRole('region', { name: /^burn/ })
      .getByRole('button', { name: /^light_loop/ })
      .waitFor();
    await page.getByRole('button', { name: 'Close callers and callees' }).click();

    // Each stack counts once, although three of its functions match.
    await page.getByLabel('Search functions').fill('work|heavy_loop|burn');
    await matched(page)
      .getByText(/^Matches/)
      .waitFor();
    assert.ok(percent(await matched(page).innerText()) > 90);
    await page.getByLabel('Search functions').fill('^heavy_');
    await eventually('the share of one function', async () => {
      const share = percent(await matched(page).innerText());
      return share > 60 && share < 90;
    });
    assert.equal(await table(page).getAttribute('aria-rowcount'), '2');
    await page.getByLabel('Search functions').fill('heavy(');
    await matched(page)
      .getByText(/group|parenthes/i)
      .waitFor();
    await page.getByLabel('Search functions').fill('');

    // A click zooms, the address has it, Back and a reload know it.
    await clickRow(page, 1);
    await zoomed(page).getByText(name, { exact: true }).waitFor();
    const frame = parameter(page, 'frame');
    assert.ok(frame);
    await page.reload();
    await zoomed(page).getByText(name, { exact: true }).waitFor();
    await page.goBack();
    await zoomed(page).getByText('Choose a frame to zoom').waitFor();
    assert.equal(parameter(page, 'frame'), null);

    // The same by keyboard, with the frame said aloud.
    await graph(page).focus();
    const said = page.locator('[data-focused-frame]');
    for (let i = 0; i < 12 && !/^heavy_loop/.test(await said.innerText()); i += 1) {
      await page.keyboard.press('ArrowDown');
    }
    assert.match(await said.innerText(), /^heavy_loop\. .*Total .*% of all/);
    await page.keyboard.press('ArrowRight');
    assert.match(await said.innerText(), /^light_loop/);
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('Enter');
    await zoomed(page).getByText('heavy_loop', { exact: true }).waitFor();
    await zoomed(page).getByRole('button', { name: 'work' }).waitFor();
    await page.keyboard.press('Escape');
    await zoomed(page).getByText('Choose a frame to zoom').waitFor();
    await page.keyboard.press('/');
    assert.ok(await page.getByLabel('Search functions').evaluate((one) => one === document.activeElement));

    // What is under the pointer is told beside it.
    const box = await graph(page).boundingBox();
    await page.mouse.move(box.x + 30, box.y + 30);
    await page.locator('[data-tip]').getByText(name).waitFor();
    await page.mouse.move(1, 1);

    // The other direction, and either part alone.
    await page.getByRole('button', { name: 'Flame', exact: true }).click();
    await page.getByRole('button', { name: 'Graph', exact: true }).click();
    await page.waitForURL(
      ({ searchParams }) => searchParams.get('shape') === 'flame' && searchParams.get('part') === 'graph',
    );
    assert.equal(await table(page).count(), 0);
    await page.reload();
    await graph(page).waitFor();
    await page.getByRole('button', { name: 'Both', exact: true }).click();

    assert.deepEqual(await seriousViolations(page), []);
    await page.getByRole('button', { name: `Remove the filter Process ${name}` }).click();
    await page.waitForURL((url) => !url.searchParams.has('process'));
    // Its page leads there, too.
    await page.goto(`/who/process/${pid}?range=5m&name=${name}`);
    await page.getByRole('main').getByRole('link', { name: 'Profile' }).click();
    await page.waitForURL(
      ({ pathname, searchParams }) => pathname === '/profile' && searchParams.get('pid') === String(pid),
    );
    await row(page, /^heavy_loop/).waitFor();
    assert.deepEqual(page.problems, []);
  },
  { alone: true },
);

test(
  'profile: a function that became slower is the first of a comparison',
  async ({ browser, server, session, cleanup }) => {
    // Early enough in a minute to have some seconds of it.
    await eventually('a minute with some seconds left', () => new Date().getSeconds() < 50);
    const began = Date.now();
    const { name } = await burning(server, session, cleanup, ['light']);
    await profiled(server, session, name);
    const minute = Math.floor(began / 60_000) * 60_000 + 60_000;
    await eventually('the next minute', () => Date.now() > minute + 1000, { within: 65_000, every: 250 });
    await profiled(server, session, name, { from: minute });

    const page = await browser.page({ server, session, bypassCSP: true });
    const at = (time) => new Date(time).toISOString();
    const range = new URLSearchParams({ process: name, from: at(minute), to: at(minute + 15_000) });
    await page.goto(`/profile?${range}`);
    await page.getByRole('button', { name: 'Compare…' }).click();
    await page.waitForURL((url) => url.searchParams.get('against') === 'before');
    const changes = table(page, 'Functions by change');
    await changes.getByRole('row').nth(1).waitFor();
    const shown = await changes.getByRole('row').allInnerTexts();
    const place = (fn) => shown.findIndex((text) => text.startsWith(fn));
    assert.ok(place('heavy_loop') > 0 && place('heavy_loop') < 4, shown.join('\n'));
    assert.match(shown[place('heavy_loop')], /\+\d\d/);
    assert.match(shown[place('light_loop')], /−\d\d/);
    await page
      .locator('[data-changed]')
      .getByText(/changed clearly/)
      .waitFor();
    await page
      .locator('[data-legend]')
      .getByText(/Share less than before/)
      .waitFor();
    await graph(page).focus();
    const said = page.locator('[data-focused-frame]');
    for (let i = 0; i < 12 && !/^(heavy|light)_loop/.test(await said.innerText()); i += 1) {
      await page.keyboard.press('ArrowDown');
    }
    assert.match(await said.innerText(), /→ .* percentage points/);
    assert.deepEqual(await seriousViolations(page), []);

    // The link shows the same, on a phone and in the other theme.
    const phone = await browser.page({ server, session, ...touch, bypassCSP: true });
    await phone.goto(`${page.url()}&theme=light`);
    await table(phone, 'Functions by change')
      .getByRole('row', { name: /^heavy_loop/ })
      .waitFor();
    assert.deepEqual(await seriousViolations(phone), []);
    assert.deepEqual([...page.problems, ...phone.problems], []);
    await page.getByRole('button', { name: 'Stop comparing' }).click();
    await row(page, /^heavy_loop/).waitFor();
    assert.deepEqual(page.problems, []);
  },
  { alone: true },
);

test('profile: what waits is charged to where it waits', async ({ browser, server, session, cleanup }) => {
  if ((await settledState(server, session, 'profile')) !== 'active')
    skip('stacks cannot be sampled on this machine');
  const name = `waiter-${process.pid % 1e5}`;
  const waiter = await NamedHog.start(name, [], 'while :; do sleep 0.05; done');
  cleanup(() => waiter.stop());
  await eventually(
    `waits of ${name}`,
    async () => {
      const query = new URLSearchParams({
        kind: 'off_cpu',
        process: name,
        start_time: new Date(Date.now() - 300_000).toISOString(),
        end_time: new Date(Date.now() + 1000).toISOString(),
      });
      return (await server.call(session, 'GET', `/api/profiles?${query}`)).total > 2e9;
    },
    { within: 90_000, every: 500 },
  );
  const page = await browser.page({ server, session });
  await page.goto(`/profile?range=5m&kind=off_cpu&process=${name}`);
  await page
    .locator('[data-facts]')
    .getByText(/waiting time/)
    .waitFor();
  // It waits for its child to end, whatever that function is called in this kernel.
  await page.getByLabel('Search functions').fill('wait');
  await matched(page)
    .getByText(/^Matches/)
    .waitFor();
  assert.ok(percent(await matched(page).innerText()) > 60, await matched(page).innerText());
  await row(page, /wait.*kernel/)
    .first()
    .waitFor();
  assert.deepEqual(page.problems, []);
});

test('profile: charts and cards lead to it, and it says why there is nothing', async ({
  browser,
  server,
  session,
}) => {
  const page = await browser.page({ server, session });
  await page.goto('/?range=1m');
  await page.getByRole('link', { name: 'Profile: CPU' }).waitFor();
  const chart = page.locator('#cpu [role=img]').first();
  /** Cards above may still grow and take the chart from under the pointer: then once more. */
  const drag = (action) =>
    eventually(action, async () => {
      const now = Date.now();
      await selectOn(page, chart, { from: now - 40_000, to: now - 20_000, length: 60_000 });
      const button = page.getByRole('button', { name: action, exact: true });
      const isThere = await button.waitFor({ timeout: 3000 }).then(
        () => true,
        () => false,
      );
      if (isThere) await button.click();
      return isThere;
    });
  await drag('Profile');
  await page.waitForURL(({ pathname, searchParams }) => pathname === '/profile' && searchParams.has('from'));
  await page.goBack();
  await drag('Compare with the time before');
  await page.waitForURL(
    ({ searchParams }) => searchParams.get('against') === 'before' && searchParams.has('from'),
  );

  await page.goto('/?range=1m');
  await page.locator('#scheduler').getByRole('button', { name: 'Off CPU' }).click();
  await page.getByRole('link', { name: 'Profile: Scheduler latency' }).click();
  await page.waitForURL(
    ({ pathname, searchParams }) => pathname === '/profile' && searchParams.get('kind') === 'off_cpu',
  );

  await page.goto('/profile?from=2020-01-01T00:00:00Z&to=2020-01-01T01:00:00Z');
  await page.getByText('No data in this range').waitFor();
  await page.route('**/api/profiles?*', (route) =>
    route.fulfill({ status: 500, json: { detail: 'It broke.' } }),
  );
  await page.getByRole('button', { name: 'Off-CPU' }).click();
  await page.getByText('It broke.').waitFor();
  await page.unroute('**/api/profiles?*');
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.getByText('No data in this range').waitFor();
});

test('profile: names with HTML and control characters are only text, and huge stacks fit', async ({
  browser,
  server,
  session,
}) => {
  const evil = '<img src=x onerror=alert(1)>\u001b[31m\n\u202e';
  const long = 'x'.repeat(4000);
  const functions = [
    { name: evil, module: '[process]' },
    { name: long, module: evil },
    { name: '[cut]', module: '' },
  ];
  // Four hundred frames of recursion.
  const nodes = { parent: [0, 0, 1], function: [-1, 0, 2], self: [0, 1e9, 1e9], samples: [0, 1, 1] };
  for (let depth = 0; depth < 400; depth += 1) {
    nodes.parent.push(nodes.parent.length - 1);
    nodes.function.push(1);
    nodes.self.push(1e7);
    nodes.samples.push(1);
  }
  const part = [evil, long].map((name) => ({
    name,
    total: 1e9,
    samples: 1,
    user_stacks: 1,
    complete_stacks: 1,
  }));
  for (const width of [390, 1440]) {
    const page = await browser.page({ server, session, width });
    await page.route('**/api/profiles?*', async (route) => {
      const answer = await (await route.fetch()).json();
      await route.fulfill({
        json: {
          ...answer,
          total: 6e9,
          samples: 402,
          processes: part,
          threads: part,
          cgroups: part,
          functions,
          nodes,
        },
      });
    });
    await page.goto('/profile?range=5m');
    await table(page).getByRole('row', { name: /xxxx/ }).waitFor();
    assert.equal(await page.locator('img[src=x], main b, main i').count(), 0);
    // The deepest frame can be reached, and is scrolled to.
    await graph(page).focus();
    for (let i = 0; i < 402; i += 1) await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.waitForURL((url) => url.searchParams.has('frame'));
    await zoomed(page).getByText('› …').waitFor();
    const over = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    assert.ok(over <= 0, `it overflows at ${width} px`);
    assert.deepEqual(page.problems, []);
    await page.close();
  }
});
