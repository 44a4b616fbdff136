import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { eventually, testOnEachStore } from '../harness/suite.mjs';

/** Waits for enough ticks to draw lines; the server ticks once a second. */
async function someHistory(server, session, ticks = 10) {
  await eventually(
    `${ticks} stored ticks`,
    async () => {
      const now = Date.now();
      const query = new URLSearchParams({
        metric_type: 'cpu',
        start_time: new Date(now - 600_000).toISOString(),
        end_time: new Date(now).toISOString(),
        interval: '5s',
        stats: 'count',
        fields: 'usage_percent',
      });
      const { data_points } = await server.call(session, 'GET', `/api/history/metrics?${query}`);
      return data_points.reduce((sum, point) => sum + point.count, 0) >= ticks;
    },
    { within: 90_000, every: 500 },
  );
}

const chart = (page, name) => page.getByRole('img', { name });

testOnEachStore(
  'dragging across a chart fetches that span, and the link reproduces it',
  async ({ browser, server, session }) => {
    await someHistory(server, session);
    const page = await browser.page({ server, session });
    await page.goto('/history?p=cpu:usage_percent,user&range=1h');
    await page.locator('table').getByText('User').waitFor();
    const requested = [];
    page.on('request', (request) => {
      const { pathname, searchParams } = new URL(request.url());
      if (pathname === '/api/history/metrics') requested.push(searchParams);
    });
    // Content above the chart may still load and move it: repeat until a drag hits it.
    const chosen = await eventually('a selected span', async () => {
      const box = await chart(page, /^CPU: Usage, User/).boundingBox();
      await page.mouse.move(box.x + box.width * 0.5, box.y + 60);
      await page.mouse.down();
      await page.mouse.move(box.x + box.width - 2, box.y + 70, { steps: 4 });
      await page.mouse.up();
      const zoom = page.getByRole('button', { name: 'Zoom', exact: true });
      if (!(await zoom.isVisible())) return false;
      await zoom.click();
      await page.waitForURL((url) => url.searchParams.has('from'), { timeout: 3000 }).catch(() => null);
      const { searchParams } = new URL(page.url());
      return searchParams.has('to') && searchParams;
    });
    const [from, to] = ['from', 'to'].map((end) => Date.parse(chosen.get(end)));
    const span = (to - from) / 60_000;
    assert.ok(span > 25 && span < 33, `about half of the hour should be selected, not ${span} min`);
    await eventually('a request of that span', () =>
      requested.some((query) => Math.abs(Date.parse(query.get('start_time')) - from) < 1000),
    );

    const link = page.url();
    const other = await browser.page({ server, session });
    await other.goto(link);
    await chart(other, /^CPU: Usage, User/).waitFor();
    const ranges = await Promise.all(
      [page, other].map((one) => one.getByRole('button', { name: /^Range: / }).innerText()),
    );
    assert.equal(ranges[0], ranges[1]);
    await page.goBack();
    await page.waitForURL((url) => !url.searchParams.has('from'));
    assert.deepEqual([...page.problems, ...other.problems], []);
  },
);

testOnEachStore('two ranges are overlaid with their difference', async ({ browser, server, session }) => {
  await someHistory(server, session, 20);
  const [from, to] = [Date.now() - 4000, Date.now()];
  const query = new URLSearchParams({
    mode: 'compare',
    p: 'cpu:usage_percent',
    from: new Date(from - 10_000).toISOString(),
    to: new Date(to).toISOString(),
    earlier: '10s',
  });
  const page = await browser.page({ server, session });
  await page.goto(`/history?${query}`);
  await chart(page, /in both ranges/).waitFor();
  await chart(page, /this range minus the comparison/).waitFor();
  await page.getByRole('row', { name: /^Usage [\d.]+ % vs [\d.]+ %/ }).waitFor();
  await page.getByRole('button', { name: 'a week earlier' }).click();
  await page.getByText('No data in the comparison range.').waitFor();
  await page.waitForURL((url) => url.searchParams.get('against') === 'last_week');
  assert.deepEqual(page.problems, []);
});

testOnEachStore(
  'a range without data says so, and the arrows move the crosshair of all charts',
  async ({ browser, server, session }) => {
    await someHistory(server, session);
    const page = await browser.page({ server, session });
    await page.goto('/history?from=2001-01-01T00:00:00Z&to=2001-01-02T00:00:00Z');
    await page.getByText('No data in this range').first().waitFor();
    await page.goto('/history?p=cpu:usage_percent&p=cpu:context_switches_per_sec&range=1h');
    const first = page.getByRole('slider', { name: /^CPU: Usage/ });
    await first.focus();
    await page.keyboard.press('End');
    await page.keyboard.press('ArrowLeft');
    // One line per chart, at one moment.
    const lines = page.locator('[role=img] > div.border-l > span');
    await eventually('two crosshairs', async () => (await lines.count()) === 2);
    const [one, two] = await lines.allInnerTexts();
    assert.equal(one, two);
    await page.keyboard.press('+');
    await page.waitForURL((url) => url.searchParams.get('range') === '15m');
    await page.keyboard.press('[');
    await page.waitForURL((url) => url.searchParams.has('from'));
    assert.deepEqual(page.problems, []);
  },
);

testOnEachStore(
  'changes are ranked, and a row opens both distributions',
  async ({ browser, server, session }) => {
    await someHistory(server, session, 50);
    const end = Date.now() - 2000;
    const at = (ms) => new Date(ms).toISOString();
    const [from, to, before] = [at(end - 20_000), at(end), at(end - 40_000)];
    const requested = new URLSearchParams({
      start_time_1: from,
      end_time_1: to,
      start_time_2: before,
      end_time_2: from,
    });
    // On any active machine something differs between two periods.
    const { changes } = await server.call(session, 'GET', `/api/history/changes?${requested}`);
    assert.ok(changes.length > 0);

    const page = await browser.page({ server, session });
    await page.goto(`/history?${new URLSearchParams({ mode: 'changes', from, to, against: 'before' })}`);
    const rows = page.getByRole('list').getByRole('listitem');
    await rows.first().waitFor();
    const directions = { up: 'rose', down: 'fell', mixed: 'changed shape' };
    const shown = await rows.allInnerTexts();
    shown.slice(0, 5).forEach((text, i) => assert.match(text, new RegExp(directions[changes[i].direction])));
    const place = changes.findIndex(({ kind }) => kind !== 'histogram');
    const row = rows.nth(place);
    await row.getByRole('button').first().click();
    await row.getByRole('figure', { name: /Distribution of/ }).waitFor();
    await row.getByRole('button', { name: 'Compare over time' }).click();
    await page.waitForURL(
      (url) => url.searchParams.get('p') === `${changes[place].metric_type}:${changes[place].field}`,
    );
    await chart(page, /in both ranges/).waitFor();
    assert.deepEqual(page.problems, []);
  },
);

testOnEachStore('a range is exported as CSV', async ({ browser, server, session }) => {
  await someHistory(server, session);
  const page = await browser.page({ server, session });
  await page.goto('/history?p=memory:usage_percent&range=1h');
  const download = page.waitForEvent('download');
  await page.getByRole('button', { name: /^Export CSV: Memory/ }).click();
  const saved = await download;
  assert.match(saved.suggestedFilename(), /^perfwatch-memory-.*\.csv$/);
  const lines = (await readFile(await saved.path(), 'utf8')).trim().split('\n');
  assert.match(lines[0], /timestamp.*usage_percent/);
  assert.ok(lines.length > 2);
  assert.deepEqual(page.problems, []);
});
