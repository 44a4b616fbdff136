import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { CpuHogs } from '../harness/load.mjs';
import { manyCores } from '../harness/larger.mjs';
import { eventually, skip, test } from '../harness/suite.mjs';

/** CPU usage in the card's headline, percent. */
async function shownUse(page) {
  const text = await page.locator('#cpu header').innerText();
  return Number(/([\d.]+) %/.exec(text)?.[1] ?? NaN);
}

/** How much of the plot's height is coloured near the chart's right edge: what is really drawn. */
async function drawnUse(page) {
  return await page
    .locator('#cpu canvas')
    .first()
    .evaluate((canvas) => {
      const copy = new OffscreenCanvas(1, canvas.height).getContext('2d', { willReadFrequently: true });
      copy.drawImage(canvas, -Math.round(canvas.width * 0.985), 0);
      const { data } = copy.getImageData(0, 0, 1, canvas.height);
      let coloured = 0;
      for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 110) coloured += 1;
      return (100 * coloured) / canvas.height;
    });
}

test('every document of a tick is on the dashboard, full at first paint', async ({
  browser,
  server,
  session,
}) => {
  const page = await browser.page({ server, session });
  await page.goto('/');
  await page.getByText('Live, every 1 s').first().waitFor();
  for (const card of ['cpu', 'memory', 'network', 'disk', 'memory_bandwidth', 'perf_events']) {
    await page.locator(`#${card} canvas`).first().waitFor();
  }
  const switches = page.locator('#perf_events tr', { hasText: 'context-switches' });
  await eventually('context switches are counted', async () =>
    /[\d.]+ ?k?\/s/.test(await switches.innerText()),
  );
  assert.deepEqual(page.problems, []);
});

test('every core of a large machine has its row in the heat strip', async ({ browser, server, session }) => {
  for (const cores of [4, 256]) {
    const page = await browser.page({ server, session });
    await page.addInitScript(manyCores, cores);
    await page.goto('/?range=1m');
    const strip = page.getByRole('img', { name: new RegExp(`^Usage of ${cores} cores`) }).locator('canvas');
    await strip.waitFor();
    await page.getByText(`busiest: core ${cores - 1}, 100 %`).waitFor();
    // Each row has its own colour, hotter from first to last.
    const red = await eventually('a drawn column', async () => {
      const column = await strip.evaluate((canvas) => {
        const { data } = canvas.getContext('2d').getImageData(canvas.width - 1, 0, 1, canvas.height);
        return Array.from({ length: canvas.height }, (_, row) => [data[row * 4], data[row * 4 + 3]]);
      });
      return column.every(([, alpha]) => alpha === 255) && column.map(([value]) => value);
    });
    assert.equal(red.length, cores);
    assert.ok(red[cores - 1] > red[0] + 100, red.join());
    assert.deepEqual(page.problems, []);
    await page.close();
  }
});

/** Runnable tasks, as shown in the card. */
async function shownRunning(page) {
  const text = await page.locator('#cpu dl div', { hasText: 'Running / blocked' }).innerText();
  return Number(/(\d+) \//.exec(text)?.[1] ?? NaN);
}

test(
  'CPU hogs show up in number and chart',
  async ({ browser, server, session, cleanup }) => {
    const page = await browser.page({ server, session });
    await page.goto('/?range=1m');
    await page.locator('#cpu canvas').first().waitFor();
    await eventually('a first number', async () => (await shownUse(page)) >= 0);
    const count = availableParallelism() * 6;
    const [useBefore, drawnBefore] = [await shownUse(page), await drawnUse(page)];
    let runningBefore = Infinity;
    await eventually(
      'room for the test load',
      async () => (runningBefore = await shownRunning(page)) < count,
      {
        within: 30_000,
      },
    ).catch(() => skip(`this machine has ${runningBefore} runnable tasks already`));

    const hogs = new CpuHogs(count);
    cleanup(() => hogs.stop());
    await eventually(`${count} hogs among the runnable`, async () => (await shownRunning(page)) >= count);
    await eventually('the hogs in the headline', async () => (await shownUse(page)) > 90);
    await eventually('the hogs in the chart', async () => (await drawnUse(page)) > 75);
    // If there was room to move up, both have moved.
    if (useBefore < 70) assert.ok((await shownUse(page)) > useBefore + 15);
    if (useBefore < 70) assert.ok((await drawnUse(page)) > drawnBefore + 10);
    await hogs.stop();
    await eventually('the hogs gone from the runnable', async () => (await shownRunning(page)) < count, {
      within: 30_000,
    });
    assert.deepEqual(page.problems, []);
  },
  { alone: true },
);
