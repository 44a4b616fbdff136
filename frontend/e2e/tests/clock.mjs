/** The live page and history of a server whose clock is set, or that was suspended. */
import assert from 'node:assert/strict';
import { ServerClock } from '../harness/clock.mjs';
import { Server } from '../harness/server.mjs';
import { eventually, skip, test } from '../harness/suite.mjs';

const HOUR = 3600;

async function withClock(cleanup) {
  const clock = await ServerClock.make();
  if (clock === null) skip('no C compiler on this machine');
  cleanup(() => clock.remove());
  const server = await Server.start(clock.env);
  cleanup(() => server.stop());
  return { clock, server, session: await server.login() };
}

const live = (page) => page.getByText('Live, every 1 s').first();

/** Seconds of the day of the newest tick shown. */
async function lastUpdate(page) {
  const text = await page.getByText(/^last update/).innerText();
  const [, hours, minutes, seconds] = /(\d\d):(\d\d):(\d\d)/.exec(text).map(Number);
  return hours * HOUR + minutes * 60 + seconds;
}

/** How far the newest tick shown is from `ahead` seconds after this machine's clock. */
async function distance(page, ahead) {
  const day = 24 * HOUR;
  const difference = (await lastUpdate(page)) - ((Date.now() / 1000 + ahead) % day);
  return Math.abs(((difference + 1.5 * day) % day) - day / 2);
}

/** Waits until the page shows ticks of a clock that is so far ahead, as they come, and says that they are live. */
async function follows(page, ahead) {
  await eventually(`ticks of a clock ${ahead} s ahead`, async () => (await distance(page, ahead)) < 10);
  await live(page).waitFor();
  const before = await lastUpdate(page);
  await eventually('the next tick', async () => (await lastUpdate(page)) !== before);
  await live(page).waitFor();
}

/** Waits until the CPU chart ends with data: its newest columns are drawn. */
async function drawnToTheEnd(page) {
  await eventually('a chart that is drawn to its end', () =>
    page
      .locator('#cpu canvas')
      .first()
      .evaluate((canvas) => {
        const copy = new OffscreenCanvas(1, canvas.height).getContext('2d', { willReadFrequently: true });
        copy.drawImage(canvas, -Math.round(canvas.width * 0.985), 0);
        const { data } = copy.getImageData(0, 0, 1, canvas.height);
        return data.some((value, at) => at % 4 === 3 && value > 110);
      }),
  );
}

test('clock: a server whose clock is set goes on at once, and so does the page', async ({
  browser,
  cleanup,
}) => {
  const { clock, server, session } = await withClock(cleanup);
  const page = await browser.page({ server, session });
  await page.goto('/?range=1m');
  await follows(page, 0);
  const note = page.getByText(/The server’s clock is/);
  assert.equal(await note.count(), 0);
  for (const [ahead, words] of [
    [2 * HOUR, 'ahead of'],
    [-HOUR, 'behind'],
  ]) {
    await clock.setAhead(ahead);
    await follows(page, ahead);
    await page.getByText(new RegExp(`The server’s clock is .* ${words} this browser’s`)).waitFor();
    await drawnToTheEnd(page);
  }
  // It returns: what it does then is not older than what it did, so nothing is waited for.
  await clock.setAhead(0);
  await follows(page, 0);
  await note.waitFor({ state: 'detached' });
  await drawnToTheEnd(page);
  // A page opened later gets the same.
  await page.reload();
  await follows(page, 0);
  await page.goto('/history?metric=cpu&range=15m');
  await page.getByRole('img', { name: /^CPU/ }).waitFor();
  assert.deepEqual(page.problems, []);
});

test('clock: ten years ahead ends the session; afterwards sign-in and live data work', async ({
  browser,
  cleanup,
}) => {
  const { clock, server, session } = await withClock(cleanup);
  const page = await browser.page({ server, session });
  await page.goto('/?range=1m');
  await follows(page, 0);
  await clock.setAhead(10 * 8766 * HOUR);
  await page.waitForURL((url) => url.pathname === '/login');
  await clock.setAhead(0);
  await page.fill('[name=username]', server.username);
  await page.fill('[name=password]', server.password);
  await page.click('[type=submit]');
  await page.waitForURL((url) => url.pathname === '/');
  await follows(page, 0);
  await drawnToTheEnd(page);
});

test('clock: after a suspend of hours there is a gap and no flood', async ({ browser, cleanup }) => {
  const { clock, server, session } = await withClock(cleanup);
  const page = await browser.page({ server, session });
  await page.clock.install();
  let [connections, frames] = [0, 0];
  page.on('websocket', (socket) => {
    connections += 1;
    socket.on('framereceived', () => (frames += 1));
  });
  await page.goto('/?range=5m');
  await follows(page, 0);
  await eventually('some ticks', () => frames > 5);

  // Both stop, while the wall clock advances by four hours.
  server.freeze();
  cleanup(() => server.thaw());
  await clock.setAhead(4 * HOUR);
  const before = frames;
  server.thaw();
  await page.clock.fastForward('04:00:00');
  await follows(page, 4 * HOUR);
  await drawnToTheEnd(page);
  assert.equal(connections, 1, 'the connection outlasts it');
  const since = Date.now();
  // Not a tick for each second that was missed: about as many as seconds have passed since.
  await eventually('more ticks', () => frames - before > 5);
  assert.ok(frames - before < 15 + (Date.now() - since) / 500, `${frames - before} messages`);
  assert.equal(await page.getByText(/did not reach this page/).count(), 0);

  // Nothing is stored for the hours in between.
  const now = Date.now() + 4 * HOUR * 1000;
  const query = new URLSearchParams({
    metric_type: 'cpu',
    start_time: new Date(now - 5 * HOUR * 1000).toISOString(),
    end_time: new Date(now).toISOString(),
    interval: '1m',
    stats: 'count',
    fields: 'usage_percent',
  });
  const { data_points: points } = await server.call(session, 'GET', `/api/history/metrics?${query}`);
  const minutes = points.map(({ timestamp }) => (now - Date.parse(timestamp)) / 60_000);
  assert.ok(minutes.some((ago) => ago > 230) && minutes.some((ago) => ago < 10), `minutes ago: ${minutes}`);
  assert.ok(!minutes.some((ago) => ago > 15 && ago < 230), `minutes ago: ${minutes}`);
  assert.deepEqual(page.problems, []);
});

test('clock: midnight is 00:00, not 24:00', async ({ browser, cleanup }) => {
  const { clock, server, session } = await withClock(cleanup);
  // Locales that showed hours from 1 to 24.
  for (const locale of ['en-US', 'ja-JP']) {
    const page = await browser.page({ server, session, locale });
    const now = Math.floor(Date.now() / 1000);
    await clock.setAhead(24 * HOUR - (now % (24 * HOUR)) + 300);
    await page.goto('/');
    await live(page).waitFor();
    await page.getByText(/^last update 00:0\d:\d\d$/).waitFor();
    await page.close();
  }
});
