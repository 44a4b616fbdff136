/** The page below a path of a proxy: everything it loads, asks and links to is there. */
import assert from 'node:assert/strict';
import { Server } from '../harness/server.mjs';
import { test } from '../harness/suite.mjs';

const BASE = '/perfwatch';

test('below a path the page signs in, streams, and keeps its links there', async ({ browser, cleanup }) => {
  const server = await Server.start({ PERFWATCH_BASE_PATH: BASE });
  cleanup(() => server.stop());
  const page = await browser.page({ server });
  const elsewhere = [];
  page.on('request', (request) => {
    const { pathname } = new URL(request.url());
    if (!pathname.startsWith(`${BASE}/`)) elsewhere.push(request.url());
  });
  const socket = page.waitForEvent('websocket');
  // A path of the page's own router, so that addresses relative to it would be wrong.
  await page.goto(`${BASE}/settings`);
  await page.waitForURL((url) => url.pathname === `${BASE}/login`);
  await page.fill('[name=username]', server.username);
  await page.fill('[name=password]', server.password);
  await page.click('[type=submit]');
  await page.waitForURL((url) => url.pathname === `${BASE}/settings`);
  const pages = page.getByRole('navigation', { name: 'Pages' });
  await pages.getByRole('link', { name: 'Dashboard' }).click();
  await page.waitForURL((url) => url.pathname === `${BASE}/`);
  assert.equal(new URL((await socket).url()).pathname, `${BASE}/api/ws/metrics`);
  const skip = await page.getByRole('link', { name: 'Skip to content' }).getAttribute('href');
  assert.equal(skip, `${BASE}/?range=5m#content`);
  await page.reload();
  await pages.waitFor();
  assert.deepEqual([elsewhere, page.problems], [[], []]);
});
