/** One time over the whole page: what people do with it, with a count of their actions. */
import assert from 'node:assert/strict';
import { ServerClock } from '../harness/clock.mjs';
import { Server } from '../harness/server.mjs';
import { eventually, skip, test, testOnEachStore } from '../harness/suite.mjs';
import { fingers, phone } from '../harness/touch.mjs';

const HOUR = 3600;
const at = (ms) => new Date(ms).toISOString();
const whole = (ms) => Math.floor(ms / 1000) * 1000;
const rangeButton = (page) => page.getByRole('button', { name: /^Range: / });
const live = (page) => page.getByText('Live, every 1 s').first();

/** Stored points of the CPU's usage, one for each second. */
async function seconds(server, session, from, to) {
  const query = new URLSearchParams({
    metric_type: 'cpu',
    fields: 'usage_percent',
    interval: '1s',
    start_time: at(from),
    end_time: at(to),
  });
  const { data_points } = await server.call(session, 'GET', `/api/history/metrics?${query}`);
  return data_points.filter(({ data }) => typeof data.usage_percent === 'number');
}

/** The newest ten seconds of which each is stored. */
async function tenSeconds(server, session) {
  return await eventually(
    'ten seconds without a missed tick',
    async () => {
      const to = whole(Date.now()) - 1000;
      const points = await seconds(server, session, to - 10_000, to - 1);
      return points.length === 10 && { from: to - 10_000, to };
    },
    { within: 90_000, every: 500 },
  );
}

const inRange = ({ from, to }) => `from=${at(from)}&to=${at(to)}`;

test('time: an hour ago is one action away, and live is one action back', async ({ browser, cleanup }) => {
  const clock = await ServerClock.make();
  if (clock === null) skip('no C compiler on this machine');
  cleanup(() => clock.remove());
  // The server lives an hour ago for a while, and then now.
  await clock.setAhead(-HOUR);
  const server = await Server.start(clock.env);
  cleanup(() => server.stop());
  const past = Date.now() - HOUR * 1000;
  const session = await server.login();
  await eventually(
    'ticks an hour ago',
    async () => (await seconds(server, session, past - 60_000, past + 60_000)).length >= 8,
  );
  await clock.setAhead(0);

  const page = await browser.page({ server, session });
  await page.goto('/?range=15m');
  await live(page).waitFor();
  const scrubber = page.locator('[data-scrubber]');
  const box = await scrubber.boundingBox();
  // The overview is the last day: an hour is a twenty-fourth of its width.
  await scrubber.click({ position: { x: box.width * (1 - 1 / 24), y: box.height / 2 } });
  await page.waitForURL((url) => url.searchParams.has('from'));
  const { searchParams } = new URL(page.url());
  const [from, to] = ['from', 'to'].map((end) => Date.parse(searchParams.get(end)));
  assert.equal(to - from, 900_000);
  assert.ok(from < past && past < to, `${at(from)} to ${at(to)} is not around ${at(past)}`);
  await page.getByText('Not live').waitFor();
  const header = page.locator('#cpu header');
  await header.getByText(/^avg$/).waitFor();
  await eventually('the average and the maximum of then', async () =>
    /[\d.]+ %\s*max\s*[\d.]+ %/.test(await header.innerText()),
  );
  await page.getByText(/charts with 1 s per point/).waitFor();
  await page.getByRole('button', { name: 'Back to live' }).click();
  await live(page).waitFor();
  await page.waitForURL((url) => url.searchParams.get('range') === '15m');
  assert.deepEqual(page.problems, []);
});

testOnEachStore('time: ten seconds show ten points', async ({ browser, server, session }) => {
  const range = await tenSeconds(server, session);
  const page = await browser.page({ server, session });
  const question = page.waitForRequest((request) => {
    const { pathname, searchParams } = new URL(request.url());
    return (
      pathname === '/api/history/columns' &&
      searchParams.get('interval') === '1s' &&
      searchParams.get('averages')?.includes('cpu.per_core')
    );
  });
  await page.goto(`/?${inRange(range)}`);
  // What the page was answered: a browser does not keep what it passes on in pieces.
  const asked = await question;
  const { authorization } = await asked.allHeaders();
  const answer = await fetch(asked.url(), { headers: { authorization } });
  const [first] = (await answer.text()).split('\n');
  const { metric_type, times, average } = JSON.parse(first);
  assert.equal(metric_type, 'cpu');
  assert.equal(times.length, 10);
  assert.equal(average.usage_percent.length, 10);
  await page.getByText(/charts with 1 s per point/).waitFor();
  // The crosshair finds ten different moments.
  const slider = page.getByRole('slider', { name: /^CPU time by mode/ });
  await slider.focus();
  await page.keyboard.press('Home');
  const read = new Set();
  const line = page.locator('#cpu [role=img] > div.border-l > span').first();
  for (let step = 0; step < 11; step += 1) {
    const moment = await line.innerText();
    read.add(moment);
    // And says what it shows there.
    const spoken = await slider.getAttribute('aria-valuetext');
    assert.match(spoken, new RegExp(`^${moment}: (no data|User [\\d.]+ %, )`));
    await page.keyboard.press('ArrowRight');
  }
  assert.equal(read.size, 11, [...read].join());
  assert.deepEqual(page.problems, []);
});

testOnEachStore(
  'time: a selection is zoomed, a link shows the same everywhere, and Back goes back',
  async ({ browser, server, session }) => {
    await tenSeconds(server, session);
    const page = await browser.page({ server, session });
    await page.goto('/?range=1m');
    await live(page).waitFor();
    const chart = page.getByRole('img', { name: /^CPU time by mode/ });
    const zoom = page.getByRole('button', { name: 'Zoom', exact: true });
    // Content above the chart may still load and move it: repeat until a drag hits it.
    await eventually('a selection', async () => {
      const box = await chart.boundingBox();
      await page.mouse.move(box.x + box.width * 0.75, box.y + 60);
      await page.mouse.down();
      await page.mouse.move(box.x + box.width * 0.95, box.y + 70, { steps: 4 });
      await page.mouse.up();
      return await zoom.isVisible();
    });
    const download = page.waitForEvent('download');
    await page
      .getByRole('group', { name: /^Selected: / })
      .getByRole('button', { name: 'Export CSV' })
      .click();
    assert.match((await download).suggestedFilename(), /^perfwatch-cpu-.*\.csv$/);
    await eventually('a selection again', async () => {
      const box = await chart.boundingBox();
      await page.mouse.move(box.x + box.width * 0.75, box.y + 60);
      await page.mouse.down();
      await page.mouse.move(box.x + box.width * 0.95, box.y + 70, { steps: 4 });
      await page.mouse.up();
      return await zoom.isVisible();
    });
    await zoom.click();
    await page.waitForURL((url) => url.searchParams.has('from'));
    const { searchParams } = new URL(page.url());
    const length = Date.parse(searchParams.get('to')) - Date.parse(searchParams.get('from'));
    assert.ok(length >= 10_000 && length <= 16_000, `${length} ms`);
    await page.getByText('Not live').waitFor();
    const header = page.locator('#cpu header');
    const settled = (one) =>
      eventually('its averages', async () => {
        const text = await one.locator('#cpu header').innerText();
        return /avg/.test(text) && /max\s*[\d.]+ %/.test(text) && text;
      });

    // The same link in another browser.
    const other = await browser.page({ server, session });
    await other.goto(page.url());
    assert.equal(await settled(other), await settled(page));
    assert.equal(await rangeButton(other).innerText(), await rangeButton(page).innerText());

    // The other pages show the same time, and so does the way back.
    const shown = await rangeButton(page).innerText();
    for (const name of ['Who', 'History']) {
      await page.getByRole('link', { name, exact: true }).first().click();
      await page.getByRole('heading', { name, exact: true }).waitFor();
      assert.equal(await rangeButton(page).innerText(), shown);
      assert.equal(new URL(page.url()).searchParams.get('from'), searchParams.get('from'));
    }
    await page.goBack();
    await page.goBack();
    await header.waitFor();
    assert.equal(await rangeButton(page).innerText(), shown);
    await page.goBack();
    await page.waitForURL((url) => url.searchParams.get('range') === '1m');
    await live(page).waitFor();
    assert.deepEqual([...page.problems, ...other.problems], []);
  },
);

test('time: the window of the overview is dragged, and moved by keys, with spoken values', async ({
  browser,
  server,
  session,
}) => {
  const page = await browser.page({ server, session });
  await page.goto('/?range=6h');
  await live(page).waitFor();
  const shown = page.getByRole('slider', { name: 'Shown range' });
  assert.match(await shown.getAttribute('aria-valuetext'), /6 h, live$/);
  const box = await shown.boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await page.mouse.down();
  await page.mouse.move(box.x - box.width / 2, box.y + box.height / 2, { steps: 5 });
  // While it is dragged the address does not change.
  assert.equal(new URL(page.url()).searchParams.get('range'), '6h');
  await page.mouse.up();
  await page.waitForURL((url) => url.searchParams.has('from'));
  const length = () => {
    const { searchParams } = new URL(page.url());
    return (Date.parse(searchParams.get('to')) - Date.parse(searchParams.get('from'))) / 1000;
  };
  assert.equal(length(), 6 * HOUR);
  await page.getByRole('slider', { name: 'End of the range' }).focus();
  await page.keyboard.press('ArrowLeft');
  await eventually('a shorter range', () => length() === 5.4 * HOUR);
  await shown.focus();
  await page.keyboard.press('End');
  await page.waitForURL((url) => url.searchParams.get('range') === '324m');
  await page.getByText('Not live').waitFor({ state: 'detached' });
  // One entry for the drag, and one for the keys, or one each if they were slow.
  await page.goBack();
  await eventually('an absolute range', () => length() > 0);
  if (length() !== 6 * HOUR) await page.goBack();
  await eventually('the range before the keys', () => length() === 6 * HOUR);
  await page.goBack();
  await page.waitForURL((url) => url.searchParams.get('range') === '6h');
  assert.deepEqual(page.problems, []);
});

test('time: every step has a key, and ? lists them', async ({ browser, server, session }) => {
  await tenSeconds(server, session);
  const page = await browser.page({ server, session });
  await page.goto('/?range=5m');
  await live(page).waitFor();
  const has = (check) => page.waitForURL((url) => check(url.searchParams));
  await page.keyboard.press('?');
  const help = page.getByRole('dialog', { name: 'Keyboard shortcuts' });
  await help.getByText('Back to live').waitFor();
  // Keys of the page do nothing behind a dialog.
  await page.keyboard.press('[');
  await page.keyboard.press('Escape');
  await help.waitFor({ state: 'hidden' });
  assert.equal(new URL(page.url()).searchParams.get('range'), '5m');
  await page.keyboard.press('-');
  await has((query) => query.get('range') === '15m');
  await page.keyboard.press('+');
  await has((query) => query.get('range') === '5m');
  await page.keyboard.press('[');
  await has((query) => query.has('from'));
  await page.keyboard.press('b');
  await has((query) => query.get('range') === '5m');
  await page.keyboard.press('[');
  await has((query) => query.has('from'));
  await page.keyboard.press(']');
  await has((query) => query.get('range') === '5m');
  await page.keyboard.press('ArrowLeft');
  await page.keyboard.press('ArrowLeft');
  await page.locator('#cpu [role=img] > div.border-l > span').first().waitFor();
  await page.keyboard.press('Escape');
  await page.locator('#cpu [role=img] > div.border-l').first().waitFor({ state: 'detached' });
  await page.keyboard.press('[');
  await has((query) => query.has('from'));
  await page.keyboard.press('l');
  await has((query) => query.get('range') === '5m');
  // The picker, in the chosen zone.
  await page.getByLabel(/^Time zone/).selectOption('utc');
  await page.keyboard.press('Escape');
  await page.locator('h1').click();
  await page.keyboard.press('t');
  const dialog = page.getByRole('dialog', { name: 'Time range' });
  await dialog.getByLabel('From').fill('2026-01-02T03:04:05');
  await dialog.getByLabel('To').fill('2026-01-02T04:04:05');
  await dialog.getByRole('button', { name: 'Show' }).click();
  await has(
    (query) => query.get('from') === '2026-01-02T03:04:05Z' && query.get('to') === '2026-01-02T04:04:05Z',
  );
  await page.getByText('No data in this range').first().waitFor();
  assert.deepEqual(page.problems, []);
});

test('time: a live window is full when it is opened, beyond what the stream brings', async ({
  browser,
  cleanup,
}) => {
  const server = await Server.start();
  cleanup(() => server.stop());
  const session = await server.login();
  const { from } = await tenSeconds(server, session);
  const page = await browser.page({ server, session });
  const asked = [];
  page.on('request', (request) => {
    const { pathname, searchParams } = new URL(request.url());
    // Not the overview's.
    const isChart = pathname === '/api/history/columns' && searchParams.get('averages')?.includes('per_core');
    if (isChart) asked.push(searchParams);
  });
  await page.goto('/?range=1m');
  await live(page).waitFor();
  const chart = page.getByRole('img', { name: /^CPU time by mode/ });
  await eventually('a question to the store', () =>
    asked.some((query) => query.get('interval') === '1s' && Date.parse(query.get('start_time')) <= from),
  );
  // Every second from then on has its own value under the crosshair.
  await eventually('the past in the chart', async () => {
    const canvas = chart.locator('canvas');
    return await canvas.evaluate((element) => {
      const copy = new OffscreenCanvas(element.width, element.height).getContext('2d', {
        willReadFrequently: true,
      });
      copy.drawImage(element, 0, 0);
      const start = Math.round(element.width * 0.93);
      const drawn = (x) => {
        const { data } = copy.getImageData(x, 0, 1, element.height);
        return data.some((value, i) => i % 4 === 3 && value > 110);
      };
      return Array.from({ length: 20 }, (_, i) => start + i).every(drawn);
    });
  });
  const requests = asked.length;
  const ticks = page.getByText(/^last update/);
  for (let tick = 0; tick < 4; tick += 1) {
    const before = await ticks.innerText();
    await eventually('a tick', async () => (await ticks.innerText()) !== before);
  }
  assert.equal(asked.length, requests, 'what the stream brings is not asked for again');
  assert.deepEqual(page.problems, []);
});

test('time: a finger reads by tapping and selects by dragging', async ({ browser, server, session }) => {
  await tenSeconds(server, session);
  const page = await browser.page({ server, session, ...phone });
  await page.goto('/?range=1m');
  const chart = page.getByRole('img', { name: /^CPU time by mode/ });
  await chart.scrollIntoViewIfNeeded();
  const box = await chart.boundingBox();
  await page.touchscreen.tap(box.x + box.width * 0.7, box.y + 60);
  // What was tapped stays readable.
  await page.locator('#cpu [role=img] > div.border-l > span').first().waitFor();
  const touch = await fingers(page);
  const place = (x) => [box.x + box.width * x, box.y + 60];
  await touch('touchStart', place(0.6));
  for (const x of [0.65, 0.7, 0.8, 0.9]) await touch('touchMove', place(x));
  await touch('touchEnd');
  await page.getByRole('button', { name: 'Zoom', exact: true }).tap();
  await page.waitForURL((url) => url.searchParams.has('from'));
  const small = await page.evaluate(() =>
    [...document.querySelectorAll('button, select, nav a')]
      .filter((one) => one.checkVisibility())
      .map((one) => [one.textContent.trim().slice(0, 20), one.getBoundingClientRect()])
      .filter(([, { width, height }]) => width < 40 || height < 40)
      .map(([text, { width, height }]) => `${text}: ${width} × ${height}`),
  );
  assert.deepEqual(small, []);
  assert.deepEqual(page.problems, []);
});
