import { eventually } from './suite.mjs';

/** Drags over the times from `from` to `to` on a chart that shows the last `length` milliseconds. */
export async function selectOn(page, chart, { from, to, length }) {
  await chart.locator('canvas').first().waitFor();
  // What is above it may still be loading.
  let seen;
  await eventually(
    'a chart that stays in its place',
    async () => {
      const before = seen;
      seen = JSON.stringify(await chart.boundingBox());
      return seen === before;
    },
    { every: 500 },
  );
  // The plot is as wide as the chart but for its axes; the range moves on meanwhile.
  const box = await chart.boundingBox();
  const x = (time) => box.x + 58 + ((time - (Date.now() - length)) / length) * (box.width - 64);
  await page.mouse.move(Math.max(box.x + 60, x(from)), box.y + 60);
  await page.mouse.down();
  await page.mouse.move(Math.max(box.x + 80, x(to)), box.y + 70, { steps: 4 });
  await page.mouse.up();
}
