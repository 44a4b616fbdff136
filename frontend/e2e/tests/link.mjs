/** The page over a slow link. */
import assert from 'node:assert/strict';
import { Server } from '../harness/server.mjs';
import { setTimeout as sleep } from 'node:timers/promises';
import { SlowLink } from '../harness/slowLink.mjs';
import { eventually, test } from '../harness/suite.mjs';

const MEGABIT = 1_000_000;

/** CPU usage in the card's headline. */
const number = (page) =>
  page
    .locator('#cpu header')
    .getByText(/[\d.]+ %/)
    .first();

test('over a slow link little is sent, at the opening and with every tick', async ({ browser, cleanup }) => {
  // What a window full of history adds depends on how long a server has run.
  const server = await Server.start();
  cleanup(() => server.stop());
  const session = await server.login();
  const link = await SlowLink.start(server, { bitsPerSecond: 1.6 * MEGABIT });
  cleanup(() => link.stop());
  const page = await browser.page({ server: link, session });
  const begun = performance.now();
  await page.goto('/', { waitUntil: 'commit' });
  await number(page).waitFor();
  const first = performance.now() - begun;
  await page.locator('#tcp canvas, #tcp .border-line').first().waitFor();
  await eventually('all is loaded', async () => (await page.locator('.skeleton:visible').count()) === 0);
  await page.waitForLoadState('networkidle');
  const opening = link.received;
  console.log(`first number after ${first.toFixed(0)} ms, opening ${(opening / 1000).toFixed(0)} kB`);
  assert.ok(opening <= 700_000, `the opening took ${opening} bytes`);
  await page.goto('/settings');
  await page.waitForLoadState('networkidle');
  await sleep(1000);
  const start = link.received;
  await sleep(10_000);
  const perSecond = (link.received - start) / 10;
  console.log(`stream ${perSecond.toFixed(0)} bytes a second`);
  assert.ok(perSecond <= 8000, `the stream took ${perSecond} bytes a second`);
  assert.deepEqual(page.problems, []);
});

test('a link that hardly keeps up is followed without losing the connection', async ({
  browser,
  server,
  session,
  cleanup,
}) => {
  const link = await SlowLink.start(server, { bitsPerSecond: 100 * MEGABIT });
  cleanup(() => link.stop());
  const page = await browser.page({ server: link, session });
  let opened = 0;
  page.on('websocket', () => (opened += 1));
  await page.goto('/');
  await page.getByText('Live, every').first().waitFor();
  await page.waitForLoadState('networkidle');
  link.bitsPerSecond = 0.064 * MEGABIT;
  // Longer than the page or the server waits for a peer that is silent.
  await sleep(45_000);
  await page.getByText('Live, every').first().waitFor();
  assert.equal(opened, 1);
});
