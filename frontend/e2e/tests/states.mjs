/** Every state that the page is designed for, reproduced for real. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { Postgres } from '../harness/postgres.mjs';
import { Server } from '../harness/server.mjs';
import { eventually, skip, test, testOnEachStore } from '../harness/suite.mjs';

const live = (page) => page.getByText('Live, every').first();

async function own(cleanup, env, wrapper) {
  const server = await Server.start(env, wrapper);
  cleanup(() => server.stop());
  return { server, session: await server.login() };
}

test('state loading: skeletons until the first tick', async ({ browser, server, session }) => {
  const page = await browser.page({ server, session });
  await page.routeWebSocket('**/api/ws/metrics*', () => undefined);
  await page.goto('/');
  await page.locator('#cpu .skeleton').first().waitFor();
  assert.equal(await page.locator('#cpu [aria-busy=true]').count(), 1);
});

test('state reconnecting: after a killed server restarts, the charts continue', async ({
  browser,
  cleanup,
}) => {
  const { server, session } = await own(cleanup);
  const page = await browser.page({ server, session });
  await page.goto('/');
  await live(page).waitFor();
  await server.halt('SIGKILL');
  await page.getByText('Reconnecting').waitFor();
  await page.getByText(/next in \d+ s/).waitFor();
  await page.locator('.opacity-60').waitFor();
  await server.launch();
  await live(page).waitFor();
  assert.equal(await page.locator('.opacity-60').count(), 0);
});

test('state failed: after many attempts the user decides', async ({ browser, cleanup }) => {
  const { server, session } = await own(cleanup);
  const page = await browser.page({ server, session });
  await page.clock.install();
  await page.goto('/');
  await eventually('a live page', async () => {
    await page.clock.runFor(200);
    return await live(page).isVisible();
  });
  await server.halt('SIGKILL');
  await eventually(
    'giving up',
    async () => {
      await page.clock.runFor(31_000);
      return await page.getByText('Connection failed').isVisible();
    },
    { within: 60_000 },
  );
  await page.getByText('Can’t reach the live stream').waitFor();
  await server.launch();
  await page.getByRole('button', { name: 'Retry now' }).click();
  await eventually('a live page again', async () => {
    await page.clock.runFor(200);
    return await live(page).isVisible();
  });
});

test('state stale: a hung server shows as outdated data', async ({ browser, cleanup }) => {
  const { server, session } = await own(cleanup);
  const page = await browser.page({ server, session });
  await page.goto('/');
  await live(page).waitFor();
  server.freeze();
  cleanup(() => server.thaw());
  await page.getByText(/Stale, \d+ s old/).waitFor();
  await page.locator('.opacity-60').waitFor();
  server.thaw();
  await live(page).waitFor();
});

testOnEachStore(
  'state signed out: signing in again returns to the same page',
  async ({ browser, store, cleanup }) => {
    const { server, session } = await own(cleanup, await store.env());
    const page = await browser.page({ server, session });
    await page.goto('/history?metric=memory&range=6h');
    await page.getByRole('heading', { name: 'History' }).waitFor();
    await server.call(session, 'POST', '/api/auth/logout');
    // The server closes a revoked token's stream; no click is needed.
    await page.waitForURL((url) => url.pathname === '/login');
    await page.getByText('Your session has ended').waitFor();
    await page.fill('[name=username]', server.username);
    await page.fill('[name=password]', server.password);
    await page.click('[type=submit]');
    await page.waitForURL((url) => url.pathname === '/history' && url.searchParams.get('range') === '6h');
  },
);

test('state refused: the sign-in limit shows when it ends', async ({ browser, cleanup }) => {
  const { server } = await own(cleanup, { LOGIN_ATTEMPTS_PER_MINUTE: '2' });
  const page = await browser.page({ server });
  await page.goto('/login');
  // Whoever has signed in from here before only waits for a turn.
  await page.fill('[name=username]', 'a stranger');
  await eventually('the limit', async () => {
    await page.fill('[name=password]', 'a guess');
    await page.click('[type=submit]');
    const button = page.getByRole('button', { name: /^(Sign in|Try again in \d+ s)$/ });
    await button.waitFor();
    return await page.getByText('Too many failed sign-ins').isVisible();
  });
  const button = page.getByRole('button', { name: /^Try again in \d+ s$/ });
  await button.waitFor();
  assert.equal(await button.isDisabled(), true);
});

testOnEachStore('state empty: an empty store says so', async ({ browser, store, cleanup }) => {
  const env = { ...(await store.env()), BACKGROUND_COLLECTION_ENABLED: 'false' };
  const { server, session } = await own(cleanup, env);
  const page = await browser.page({ server, session });
  await page.goto('/history');
  await page.getByText('No data in this range').first().waitFor();
  await page.goto('/history?mode=changes');
  await page.getByText('There is no history of either period.').waitFor();
  await page.goto('/settings');
  await page.locator('#retention').getByText('–').first().waitFor();
  assert.deepEqual(page.problems, []);
});

test('state unavailable: without a PMU each missing counter has a reason and a remedy', async ({
  browser,
  server,
  session,
}) => {
  const page = await browser.page({ server, session });
  await page.goto('/');
  await live(page).waitFor();
  const card = page.locator('#perf_events');
  await card.locator('tbody tr').first().waitFor();
  if ((await card.locator('tbody tr').count()) > 4) skip('this machine has a hardware PMU');
  await card.getByText(/events? unavailable/).waitFor();
  await card.getByRole('button', { name: 'Copy' }).waitFor();
  await page.getByRole('link', { name: /^IPC/ }).getByText('no hardware PMU').waitFor();
});

test('state unavailable: without eBPF the page still works and says how to enable it', async ({
  browser,
  cleanup,
}) => {
  if (process.getuid() === 0 && !existsSync('/usr/bin/setpriv')) skip('no setpriv to drop rights');
  const dropped = '-sys_admin,-bpf,-perfmon,-sys_resource,-sys_ptrace';
  const wrapper =
    process.getuid() === 0 ? ['setpriv', `--inh-caps=${dropped}`, `--bounding-set=${dropped}`] : [];
  const { server, session } = await own(cleanup, {}, wrapper);
  const page = await browser.page({ server, session });
  await page.goto('/');
  await page.locator('#cpu canvas').first().waitFor();
  await page
    .locator('#scheduler')
    .getByText(/^(Needs extra rights|Not available)/)
    .waitFor();
  // One banner has the command, instead of each card.
  const banner = page.locator('[data-banner=rights]');
  await banner.getByText('run queue and off-CPU time').waitFor();
  await banner.getByRole('button', { name: 'Copy' }).waitFor();
  assert.equal(await page.locator('code', { hasText: 'setcap' }).count(), 1);
  await page.goto('/who');
  await banner.waitFor();
  await page.getByRole('row', { name: 'perfwatch' }).first().waitFor();
  await page.goto('/settings');
  // The doctor has one problem for it, with what it affects and the command.
  const doctor = page.locator('#doctor');
  await doctor.getByText(/[1-9]\d*\s+to fix/).waitFor();
  const problem = doctor.locator('.border-amber', { hasText: 'Missing rights' });
  assert.equal(await problem.count(), 1);
  await problem.getByText(/Affects .*runqueue/).waitFor();
  await problem.locator('code').waitFor();
  await problem.getByRole('button', { name: 'Copy' }).waitFor();
  await doctor.getByText('Sources').click();
  await doctor
    .getByRole('listitem')
    .filter({ hasText: 'runqueue' })
    .getByText(/unavailable/)
    .waitFor();
  assert.deepEqual(page.problems, []);
});

test('state store down: with PostgreSQL stopped the live page still works, and history offers a retry', async ({
  browser,
  cleanup,
}) => {
  const postgres = await Postgres.start();
  if (postgres === null) skip('no PostgreSQL of version 15 or newer on this machine');
  cleanup(() => postgres.stop());
  const { server, session } = await own(cleanup, { DATABASE_URL: postgres.url });
  const page = await browser.page({ server, session });
  await page.goto('/settings');
  await page.locator('#system').getByText('PostgreSQL').waitFor();
  await page.goto('/history');
  await page.getByRole('img', { name: /^CPU/ }).waitFor({ timeout: 40_000 });
  await postgres.halt();
  await page.getByRole('button', { name: 'Refresh' }).click();
  await page.getByText('Couldn’t load history').first().waitFor();
  await page.getByRole('link', { name: 'Dashboard' }).click();
  await live(page).waitFor();
  await postgres.launch();
  await page.getByRole('link', { name: 'History', exact: true }).click();
  await eventually(
    'history again',
    async () => {
      const again = page.getByRole('button', { name: 'Try again' }).first();
      if (await again.isVisible()) await again.click();
      return await page.getByRole('img', { name: /^CPU/ }).isVisible();
    },
    { within: 40_000, every: 500 },
  );
});
