/** Who used what: processes, services and containers, now and over ranges. */
import assert from 'node:assert/strict';
import { accounted, measured } from '../harness/accounts.mjs';
import { NamedHog, NamedSleeper } from '../harness/load.mjs';
import { manyProcesses } from '../harness/larger.mjs';
import { eventually, skip, test, testOnEachStore } from '../harness/suite.mjs';

const DAY_MS = 86_400_000;

const table = (page, name = 'Processes') => page.getByRole('table', { name });
/** Changes the list of all processes; a request pending when the page is left cannot be fulfilled. */
async function changeList(page, change) {
  const answer = async (route) => route.fulfill({ json: change(await (await route.fetch()).json()) });
  await page.route('**/api/processes', (route) => answer(route).catch(() => undefined));
}

const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);

testOnEachStore(
  'who: a CPU hog is found by name, and its page has its charts and leads on',
  async ({ browser, server, session, store, cleanup }) => {
    const page = await browser.page({ server, session });
    if (!(await measured(server, session))) skip('processes cannot be measured on this machine');
    // The other lane runs the same test, and the kernel keeps 15 characters of a name.
    const name = `hog-${store.name.slice(0, 2)}-${process.pid}`;
    const hog = await NamedHog.start(name, ['--shard', 'seven']);
    cleanup(() => hog.stop());
    await page.goto(`/processes?q=${name}&range=5m`);
    await page.waitForURL((url) => url.pathname === '/who' && url.searchParams.get('q') === name);
    const row = page.getByRole('row', { name });
    await row.getByText('--shard seven').waitFor();
    await eventually('a tick of its own CPU time', async () => {
      const use = Number(/([\d.]+) %/.exec(await row.innerText())?.[1]);
      return use > 0 && use < 110;
    });
    await accounted(server, session, name);
    await row.getByRole('link', { name, exact: true }).click();
    await page.waitForURL((url) => url.pathname === `/who/process/${hog.pid}`);
    await page.getByRole('heading', { level: 1, name }).waitFor();
    await page.getByRole('img', { name: /^CPU, percent of one/ }).waitFor();
    await page.getByText(/^peak [\d.]+ %, .* in all$/).waitFor();

    await page.getByRole('link', { name: `All named ${name}` }).click();
    await page.waitForURL((url) => url.pathname === `/who/name/${name}`);
    await table(page, 'Its processes')
      .getByRole('row', { name: String(hog.pid) })
      .waitFor();
    await page.getByRole('img', { name: /^CPU, percent of one/ }).waitFor();
    assert.deepEqual(page.problems, []);
  },
);

test('who: an exited process over a day, and what its page says of it', async ({
  browser,
  server,
  session,
  cleanup,
}) => {
  if (!(await measured(server, session))) skip('processes cannot be measured on this machine');
  const name = `gone-${process.pid}`;
  const hog = await NamedHog.start(name);
  cleanup(() => hog.stop());
  await accounted(server, session, name);
  const { pid } = hog;
  await hog.stop();
  const page = await browser.page({ server, session });
  await page.goto(`/who/process/${pid}?name=${name}&range=24h`);
  await page.getByText('This process has exited.').waitFor();
  await page.getByText(/^peak [\d.]+ %, .* in all$/).waitFor();
  await page.getByRole('img', { name: /^CPU, percent of one/ }).waitFor();
  // A range in which it was not there says so.
  const long = Date.now() - 30 * DAY_MS;
  const range = `from=${new Date(long).toISOString()}&to=${new Date(long + DAY_MS).toISOString()}`;
  await page.goto(`/who/process/${pid}?name=${name}&${range}`);
  await page.getByText('No data in this range').waitFor();
  assert.deepEqual(page.problems, []);
});

test('who: sort, filter, trees that close, services, names, and the moment under the crosshair', async ({
  browser,
  server,
  session,
}) => {
  if (!(await measured(server, session))) skip('processes cannot be measured on this machine');
  const page = await browser.page({ server, session });
  await page.goto('/who?range=5m');
  await table(page).getByRole('row', { name: 'perfwatch' }).first().waitFor();
  await page.getByRole('columnheader', { name: 'Memory' }).getByRole('button').click();
  await page.locator('[aria-sort=descending]', { hasText: 'Memory' }).waitFor();
  await page.waitForURL((url) => url.searchParams.get('sort') === 'rss_bytes');
  await page.getByRole('columnheader', { name: 'Memory' }).getByRole('button').click();
  await page.locator('[aria-sort=ascending]', { hasText: 'Memory' }).waitFor();

  for (const tree of ['By parent', 'By cgroup']) {
    await page.getByRole('button', { name: tree }).click();
    const rows = async () => Number(await table(page).getAttribute('aria-rowcount'));
    const branch = table(page).getByRole('button', { expanded: true }).first();
    await branch.waitFor();
    const open = await rows();
    await branch.click();
    await eventually('fewer rows', async () => (await rows()) < open);
    await table(page).getByRole('button', { expanded: false }).first().click();
  }
  await page.getByLabel('Filter').fill('perfwatch serve-nothing-of-this-name');
  await page.getByText('No matches.').waitFor();
  await page.getByLabel('Filter').fill('');

  await page.getByRole('button', { name: 'Services & containers' }).click();
  await table(page, 'Services & containers').getByRole('row').nth(2).waitFor();
  await page.getByRole('button', { name: 'Names' }).click();
  await page.getByLabel('Filter').fill('perfwatch');
  await table(page, 'Names').getByRole('row', { name: 'perfwatch' }).first().waitFor();
  const link = table(page, 'Names').getByRole('link', { name: 'perfwatch', exact: true });
  await link.click();
  await page.waitForURL((url) => url.pathname === '/who/name/perfwatch');

  await page.goto('/?range=5m');
  const chart = page.locator('#cpu [role=img]').first();
  await chart.locator('canvas').first().waitFor();
  await page.locator('#cpu').getByRole('slider').first().focus();
  await page.keyboard.press('ArrowLeft');
  await page.keyboard.press('w');
  await page.waitForURL((url) => url.pathname === '/who' && url.searchParams.has('to'));
  const { searchParams } = new URL(page.url());
  const length = Date.parse(searchParams.get('to')) - Date.parse(searchParams.get('from'));
  assert.equal(length, 10_000);
  assert.deepEqual(page.problems, []);
});

test('who: names with HTML, control characters and ten kilobytes are only text', async ({
  browser,
  server,
  session,
  cleanup,
}) => {
  if (!(await measured(server, session))) skip('processes cannot be measured on this machine');
  const name = '<img src=x>';
  const evil = '<img src=y onerror=alert(1)>\u001b[31m\n\u202e';
  const hog = await NamedHog.start(name, [evil, 'A'.repeat(10_240)]);
  cleanup(() => hog.stop());
  await accounted(server, session, name);
  const endless = `/system.slice/${'x'.repeat(10_240)}\u0007.service`;
  for (const width of [390, 1440]) {
    const page = await browser.page({ server, session, width });
    await changeList(page, (list) => {
      for (const row of list.processes.filter(({ comm }) => comm === name)) {
        row.cgroup = endless;
        row.group = { kind: 'container', name: `<b>${'y'.repeat(10_240)}`, image: `<i>\u0000` };
      }
      return list;
    });
    await page.goto('/who?range=5m&q=img+src');
    const row = table(page).getByRole('row', { name });
    await row.waitFor();
    assert.equal(await page.locator('img[src=x], img[src=y], main b, main i').count(), 0);
    assert.ok((await overflow(page)) <= 0, `the list overflows at ${width} px`);
    await page.getByRole('button', { name: 'Services & containers' }).click();
    await page.getByLabel('Filter').fill('xxxxxxxxxxxxxxxxx');
    await page.getByRole('table').getByRole('row', { name: 'container' }).waitFor();
    assert.ok((await overflow(page)) <= 0, `the groups overflow at ${width} px`);
    await page.goto(`/who/process/${hog.pid}?range=5m&name=${encodeURIComponent(name)}`);
    await page.getByRole('heading', { level: 1, name }).waitFor();
    await page.getByText('<img src=y onerror=alert(1)>').waitFor();
    await page.getByRole('img', { name: /^CPU, percent of one/ }).waitFor();
    assert.equal(await page.locator('img[src=x], img[src=y]').count(), 0);
    assert.ok((await overflow(page)) <= 0, `its page overflows at ${width} px`);
    assert.deepEqual(page.problems, []);
    await page.close();
  }
});

test('who: what can’t be seen is said', async ({ browser, server, session }) => {
  const page = await browser.page({ server, session });
  await changeList(page, (list) => ({ ...list, hidden: 18, command_lines: false }));
  await page.goto('/who');
  await page.getByText('18 processes hidden by hidepid').waitFor();
  await page.getByText('command lines are off (PERFWATCH_COMMAND_LINES)').waitFor();
});

test('a sleeping process is found by name until it exits', async ({ browser, server, session, cleanup }) => {
  const name = `sleeper-${process.pid % 1e6}`;
  const sleeper = await NamedSleeper.start(name);
  cleanup(() => sleeper.stop());
  // Its startup is over, so it is no longer among the busiest of a tick.
  await eventually('a list in which it is idle', async () => {
    const { processes } = await server.call(session, 'GET', `/api/processes?search=${name}`);
    return processes[0]?.pid === sleeper.pid && (processes[0].context_switches_per_sec ?? 0) === 0;
  });
  const page = await browser.page({ server, session });
  await page.goto('/who?sort=rss_bytes');
  await page
    .getByText(/[\d,]+ processes/)
    .first()
    .waitFor();
  await page.getByLabel('Filter').fill(name);
  const row = page.getByRole('row', { name });
  await row.waitFor();
  assert.match(await row.innerText(), /[KM]iB/);
  await page.locator('[role=table][aria-rowcount="2"]').waitFor();
  await row.getByRole('link', { name, exact: true }).click();
  await page.getByText(`PID ${sleeper.pid}`).waitFor();
  await sleeper.stop();
  await page.getByText('This process has exited').waitFor();
  await page.goBack();
  await page.getByText('No matches.').waitFor();
  assert.deepEqual(page.problems, []);
});

test('all processes are requested while the list is live, one request at a time', async ({
  browser,
  server,
  session,
}) => {
  const page = await browser.page({ server, session });
  let [requested, pending, maxPending] = [0, 0, 0];
  let answer = () => undefined;
  await page.route('**/api/processes', async (route) => {
    requested += 1;
    pending += 1;
    maxPending = Math.max(maxPending, pending);
    if (requested === 1) await new Promise((resolve) => (answer = resolve));
    pending -= 1;
    await route.continue().catch(() => undefined);
  });
  await page.goto('/who');
  await eventually('a first request', () => requested === 1);
  // Ticks go on; while a request is pending there is no second one.
  const detail = page.getByText(/^last update/);
  const before = await detail.innerText();
  await eventually('a later tick', async () => (await detail.innerText()) !== before);
  assert.equal(requested, 1);
  answer();
  await eventually('a request per tick', () => requested > 3);
  assert.equal(maxPending, 1);
  await page.getByRole('button', { name: 'Pause' }).click();
  await page.getByRole('link', { name: 'Dashboard' }).click();
  await page.getByRole('button', { name: 'Resume' }).click();
  await page.locator('#cpu canvas').first().waitFor();
  const left = requested;
  const shown = await detail.innerText();
  await eventually('a later tick', async () => (await detail.innerText()) !== shown);
  assert.equal(requested, left);
  assert.deepEqual(page.problems, []);
});

test('state busiest only: if the full list fails, the table shows the stream’s processes', async ({
  browser,
  server,
  session,
}) => {
  if (!(await measured(server, session))) skip('processes cannot be measured on this machine');
  const page = await browser.page({ server, session });
  await page.route('**/api/processes', (route) =>
    route.fulfill({ status: 500, json: { detail: 'The list broke.' } }),
  );
  await page.goto('/who');
  await page
    .getByText('Only the busiest are listed; the full list could not be loaded: The list broke.')
    .waitFor();
  await eventually('rows of the stream', async () => {
    const rows = Number(await table(page).getAttribute('aria-rowcount')) - 1;
    return rows > 0 && rows <= 25;
  });
});

test('a table of ten thousand processes renders only visible rows', async ({ browser, server, session }) => {
  if (!(await measured(server, session))) skip('processes cannot be measured on this machine');
  const count = 10_000;
  const page = await browser.page({ server, session });
  await manyProcesses(page, count);
  await page.goto('/who?sort=pid&order=up');
  const all = table(page);
  await page.locator(`[role=table][aria-rowcount="${count + 1}"]`).waitFor();
  await all.getByRole('row', { name: /many-0 / }).waitFor();
  assert.ok((await all.getByRole('row').count()) < 100);

  await all.evaluate((element) => element.scrollTo({ top: element.scrollHeight }));
  await all.locator(`[role=row][aria-rowindex="${count + 1}"]`).waitFor();
  await all.getByRole('row', { name: /many-9999 / }).waitFor();
  assert.ok((await all.getByRole('row').count()) < 100);

  await page.getByLabel('Filter').fill('many-4321');
  await page.locator('[role=table][aria-rowcount="2"]').waitFor();
  await page.getByLabel('Filter').fill('');
  await page.getByRole('button', { name: 'By cgroup' }).click();
  // A hundred groups, in one that has nothing else.
  await page.locator(`[role=table][aria-rowcount="${count + 101 + 1}"]`).waitFor();
  await page.setViewportSize({ width: 390, height: 844 });
  await eventually(
    'a table that fits a phone screen',
    async () => (await all.getByRole('row').count()) < 100,
  );
  assert.ok((await all.boundingBox()).height < 844);
  assert.ok((await overflow(page)) <= 0);
  await page.getByLabel('Top by').selectOption({ label: 'Memory' });
  await page.locator('[aria-sort=descending]', { hasText: 'Memory' }).waitFor();
  assert.deepEqual(page.problems, []);
});
