import assert from 'node:assert/strict';
import { NamedHog, NamedSleeper } from '../harness/load.mjs';
import { manyProcesses } from '../harness/larger.mjs';
import { settledState } from '../harness/server.mjs';
import { eventually, skip, test, testOnEachStore } from '../harness/suite.mjs';

async function measured(server, session) {
  return (await settledState(server, session, 'processes')) === 'active';
}

testOnEachStore(
  'a CPU hog is found by name, sorted to the top and opens its charts',
  async ({ browser, server, session, store, cleanup }) => {
    const page = await browser.page({ server, session });
    if (!(await measured(server, session))) {
      await page.goto('/processes');
      await page.getByText(/^(Needs extra rights|Not available)/).waitFor();
      assert.deepEqual(page.problems, []);
      return;
    }
    // The other lane runs the same test, and the kernel keeps 15 characters of a name.
    const name = `hog-${store.name.slice(0, 2)}-${process.pid}`;
    const hog = await NamedHog.start(name);
    cleanup(() => hog.stop());
    await page.goto(`/processes?q=${name}`);
    const row = page.getByRole('row', { name });
    await row.waitFor();
    await eventually('a tick of its own CPU time', async () => {
      const use = Number(/([\d.]+) %/.exec(await row.innerText())?.[1]);
      return use > 0 && use < 110;
    });
    await row.getByRole('button', { name }).click();
    await page.waitForURL((url) => url.searchParams.get('pid') === String(hog.pid));
    const detail = page.getByRole('complementary');
    await detail.getByRole('img', { name: /CPU, percent of one/ }).waitFor();

    // Its stored history, and that of all processes with the same name.
    await page.getByRole('button', { name: '1 h', exact: true }).click();
    await page.waitForURL((url) => url.searchParams.get('range') === '1h');
    const lists = detail.getByText(/Among the busiest in \d+ of \d+ samples/);
    await lists.waitFor();
    await eventually(
      'the hog in a stored list',
      async () => {
        const [, listed, of] = /(\d+) of (\d+) samples/.exec(await lists.innerText()) ?? [];
        if (Number(listed) > 0 && Number(listed) <= Number(of)) return true;
        await page.reload();
        await lists.waitFor();
        return false;
      },
      { within: 60_000, every: 500 },
    );
    await detail.getByRole('img', { name: /CPU, percent of one/ }).waitFor();
    await detail.getByRole('button', { name: `All named ${name}` }).click();
    await page.waitForURL((url) => url.searchParams.get('name') === name);
    await detail.getByRole('img', { name: /CPU, percent of one/ }).waitFor();
    await page.getByRole('button', { name: '5 m', exact: true }).click();
    await page.waitForURL((url) => url.searchParams.get('range') === '5m');

    await page.getByLabel('Search processes').fill('');
    await page.getByLabel('Group by cgroup').check();
    await page.waitForURL((url) => url.searchParams.get('group') === 'cgroup');
    await page.getByRole('row').getByRole('button', { expanded: true }).first().click();
    await page.getByRole('row').getByRole('button', { expanded: false }).first().waitFor();
    await page.getByRole('columnheader', { name: 'Memory' }).getByRole('button').click();
    await page.locator('[aria-sort=descending]', { hasText: 'Memory' }).waitFor();
    assert.deepEqual(page.problems, []);
  },
);

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
  await page.goto('/processes?sort=rss_bytes');
  await page.getByText(/^[\d,]+ processes/).waitFor();
  await page.getByLabel('Search processes').fill(name);
  const row = page.getByRole('row', { name });
  await row.waitFor();
  assert.match(await row.innerText(), /[KM]iB/);
  await page.locator('[role=table][aria-rowcount="2"]').waitFor();
  await row.getByRole('button', { name }).click();
  const detail = page.getByRole('complementary');
  await detail.getByText(String(sleeper.pid)).waitFor();
  await sleeper.stop();
  await detail.getByText('This process has exited').waitFor();
  await page.getByText('No matching processes').waitFor();
  assert.deepEqual(page.problems, []);
});

test('all processes are requested while the page is open, one request at a time', async ({
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
  await page.goto('/processes');
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
  await page.getByText(/^[\d,]+ processes/).waitFor();
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
  await page.goto('/processes');
  await page
    .getByText('Only the busiest are listed; the full list could not be loaded: The list broke.')
    .waitFor();
  const table = page.getByRole('table', { name: 'Processes' });
  await eventually('rows of the stream', async () => {
    const rows = Number(await table.getAttribute('aria-rowcount')) - 1;
    return rows > 0 && rows <= 25;
  });
});

test('a table of ten thousand processes renders only visible rows', async ({ browser, server, session }) => {
  if (!(await measured(server, session))) skip('processes cannot be measured on this machine');
  const count = 10_000;
  const page = await browser.page({ server, session });
  await manyProcesses(page, count);
  await page.goto('/processes?sort=pid&order=up');
  const table = page.getByRole('table', { name: 'Processes' });
  await page.locator(`[role=table][aria-rowcount="${count + 1}"]`).waitFor();
  await table.getByRole('row', { name: /many-0 / }).waitFor();
  assert.ok((await table.getByRole('row').count()) < 100);

  await table.evaluate((element) => element.scrollTo({ top: element.scrollHeight }));
  await table.locator(`[role=row][aria-rowindex="${count + 1}"]`).waitFor();
  await table.getByRole('row', { name: /many-9999 / }).waitFor();
  assert.ok((await table.getByRole('row').count()) < 100);

  await page.getByLabel('Search processes').fill('many-4321');
  await page.locator('[role=table][aria-rowcount="2"]').waitFor();
  await page.getByLabel('Search processes').fill('');
  await page.getByLabel('Group by cgroup').check();
  await page.locator(`[role=table][aria-rowcount="${count + 100 + 1}"]`).waitFor();
  await page.setViewportSize({ width: 390, height: 844 });
  await eventually(
    'a table that fits a phone screen',
    async () => (await table.getByRole('row').count()) < 100,
  );
  assert.ok((await table.boundingBox()).height < 844);
  assert.deepEqual(page.problems, []);
});
