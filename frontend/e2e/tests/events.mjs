/** Events on the machine are marked on charts and listed. */
import assert from 'node:assert/strict';
import { MemoryCgroup } from '../harness/load.mjs';
import { Server, settledState } from '../harness/server.mjs';
import { eventually, skip, test, testOnEachStore } from '../harness/suite.mjs';

const events = (page) => page.locator('details', { hasText: /events? in this period/ });

testOnEachStore('a restart is marked live and in history', async ({ browser, store, cleanup }) => {
  const server = await Server.start(await store.env());
  cleanup(() => server.stop());
  const session = await server.login();
  const page = await browser.page({ server, session });
  await page.goto('/?range=1m');
  await events(page).getByText('PerfWatch started').first().waitFor();
  // All parts of the page are there before the server goes.
  await page.getByRole('heading', { name: 'Top processes' }).waitFor();
  await page.getByText(/usual/).first().waitFor();
  await eventually('the start in the store', async () => {
    const end_time = new Date().toISOString();
    const query = new URLSearchParams({
      metric_type: 'cpu',
      fields: 'events',
      interval: '1m',
      start_time: new Date(Date.now() - 600_000).toISOString(),
      end_time,
    });
    const { data_points } = await server.call(session, 'GET', `/api/history/metrics?${query}`);
    return data_points.some(({ data }) => data.events.some(({ kind }) => kind === 'perfwatch_started'));
  });
  await server.halt('SIGTERM');
  await server.launch();
  await page.reload();
  await events(page).getByText('PerfWatch started').first().waitFor();
  await events(page).locator('summary').click();
  const rows = events(page).getByRole('listitem');
  await rows.first().waitFor();
  assert.match(await rows.first().innerText(), /PerfWatch started/);

  // Selecting one moves every chart's crosshair there, which describes the mark.
  await rows.first().getByRole('button').click();
  await page.locator('#cpu [role=img] > div.border-l > span').first().waitFor();
  await page.goto('/history');
  await eventually(
    'both starts in history',
    async () => {
      await page.getByRole('button', { name: 'Refresh' }).click();
      return (
        (await events(page)
          .getByText(/2 events/)
          .count()) === 1
      );
    },
    { within: 60_000, every: 500 },
  );
  await page
    .getByRole('img', { name: /^CPU: Usage/ })
    .locator('svg path')
    .first()
    .waitFor();
  // While the server was down, the browser itself reported failed requests.
  assert.deepEqual(
    page.problems.filter((text) => !/ERR_|WebSocket/.test(text)),
    [],
  );
});

test('a process killed by the OOM killer is named', async ({ browser, server, session, cleanup }) => {
  if ((await settledState(server, session, 'processes')) !== 'active')
    skip('processes are not measured on this machine');
  const group = await MemoryCgroup.make();
  if (group === null) skip('no memory cgroup can be made on this machine');
  cleanup(() => group.remove());
  const page = await browser.page({ server, session });
  await page.goto('/?range=5m');
  await page.locator('#cpu canvas').first().waitFor();
  const killed = await group.overflow();
  assert.equal(killed.signal, 'SIGKILL');
  const summary = events(page).locator('summary');
  await eventually(
    'the kill',
    async () => (await summary.count()) === 1 && /Killed by the OOM killer/.test(await summary.innerText()),
  );
  await summary.click();
  await events(page).getByText(`(${killed.pid})`).last().waitFor();
  assert.deepEqual(page.problems, []);
});

testOnEachStore(
  'what a script notes is on the charts, in the list and in explanations',
  async ({ browser, server, session }) => {
    const page = await browser.page({ server, session });
    await page.goto('/?range=5m');
    await page.getByText('Live, every').first().waitFor();
    await page.locator('#cpu canvas').first().waitFor();
    const made = await server.call(session, 'POST', '/api/tokens', { name: 'ci', scopes: ['events'] });
    const text = `Deployed shop ${made.id}`;
    const from = Date.now();
    await server.call(made, 'POST', '/api/events', { text, labels: { version: '1.42' } });
    // An open page shows it soon.
    await events(page).locator('summary').click();
    const row = events(page).getByRole('listitem').filter({ hasText: text });
    await row.getByText('version 1.42, noted by admin').waitFor();
    const marks = page.locator('#cpu [role=img] svg path');
    await marks.first().waitFor();
    const to = Date.now();
    const past = `from=${new Date(from - 60_000).toISOString()}&to=${new Date(to).toISOString()}`;
    await page.goto(`/?${past}`);
    await events(page).getByText(text).first().waitFor();
    await page.getByRole('button', { name: 'Explain', exact: true }).click();
    await page
      .getByRole('dialog', { name: /^Explain / })
      .getByRole('region', { name: 'Events' })
      .getByText(text)
      .waitFor();
    await server.call(session, 'DELETE', `/api/tokens/${made.id}`);
    assert.deepEqual(page.problems, []);
  },
);
