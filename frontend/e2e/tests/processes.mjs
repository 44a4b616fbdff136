import assert from 'node:assert/strict';
import { NamedHog } from '../harness/load.mjs';
import { manyProcesses } from '../harness/larger.mjs';
import { settledState } from '../harness/server.mjs';
import { eventually, skip, test, testOnEachStore } from '../harness/suite.mjs';

async function measured(server, session) {
  return (await settledState(server, session, 'processes')) === 'active';
}

testOnEachStore(
  'a hog is found by name, sorted to the top and opens its charts',
  async ({ browser, server, session, store, cleanup }) => {
    const page = await browser.page({ server, session });
    if (!(await measured(server, session))) {
      await page.goto('/processes');
      await page.getByText(/^Not measured/).waitFor();
      assert.deepEqual(page.problems, []);
      return;
    }
    // Another lane runs the same, and the kernel keeps 15 characters of a name.
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

    // What is stored of it, and of all that are called the same.
    await detail.getByRole('button', { name: '1 h', exact: true }).click();
    await page.waitForURL((url) => url.searchParams.get('range') === '1h');
    const lists = detail.getByText(/\d+ of \d+ lists of the busiest name it/);
    await lists.waitFor();
    await eventually(
      'it in a stored list',
      async () => {
        const [, listed, of] = /(\d+) of (\d+) lists/.exec(await lists.innerText()) ?? [];
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
    await detail.getByRole('button', { name: 'Live' }).click();

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

test('ten thousand processes are one table of which only what is in sight is drawn', async ({
  browser,
  server,
  session,
}) => {
  if (!(await measured(server, session))) skip('processes are not measured on this machine');
  const count = 10_000;
  const page = await browser.page({ server, session });
  await page.addInitScript(manyProcesses, count);
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
  assert.deepEqual(page.problems, []);
});
