/** Charts under two fingers. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, test } from '../harness/suite.mjs';
import { fingers, phone } from '../harness/touch.mjs';

const MINUTE = 60_000;

test('touch: two fingers zoom a chart around what is between them', async ({ browser, server, session }) => {
  const page = await browser.page({ server, session, ...phone });
  await page.goto('/?range=5m');
  const chart = page.getByRole('img', { name: /^CPU time by mode/ });
  await chart.locator('canvas').waitFor();
  await page.getByRole('region', { name: 'Top processes' }).waitFor();
  let box = null;
  const finger = await fingers(page);
  const touch = (type, ...xs) => finger(type, ...xs.map((x) => [box.x + x, box.y + 60]));
  const span = () => {
    const { searchParams } = new URL(page.url());
    return ['from', 'to'].map((name) => Date.parse(searchParams.get(name)));
  };
  const length = () => span()[1] - span()[0];
  const [near, far] = [40, 120];
  const spread = async (first, last) => {
    await eventually('all is loaded', async () => (await page.locator('.skeleton:visible').count()) === 0);
    await chart.scrollIntoViewIfNeeded();
    box = await chart.boundingBox();
    const middle = box.width / 2;
    await touch('touchStart', middle - first);
    await touch('touchStart', middle - first, middle + first);
    for (let step = 1; step <= 8; step += 1) {
      const half = first + ((last - first) * step) / 8;
      await touch('touchMove', middle - half, middle + half);
      await sleep(30);
    }
    await touch('touchEnd', middle - last);
    await touch('touchEnd');
  };
  await spread(far, near);
  await eventually('more time', () => length() > 7 * MINUTE);
  const [wide, middle] = [length(), (span()[0] + span()[1]) / 2];
  await spread(near, far);
  await eventually('a third of it', () => Math.abs(length() - wide / 3) < wide / 20);
  // The plot has an axis at its left, so the middle of the chart is a little earlier.
  const moved = middle - (span()[0] + span()[1]) / 2;
  assert.ok(Math.abs(moved) < wide / 10, `moved by ${moved} ms`);
  // Neither selected anything.
  assert.equal(await page.getByRole('button', { name: 'Zoom', exact: true }).count(), 0);
  assert.deepEqual(page.problems, []);
});
