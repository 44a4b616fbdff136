/** What the page says first, on paper, and after an upgrade. */
import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { eventually, test } from '../harness/suite.mjs';

test('first screen: whose machine it is, whether it is as usual, and who is busy', async ({
  browser,
  server,
}) => {
  // It ends at signing out; the other tests need theirs.
  const page = await browser.page({ server, session: await server.login() });
  await page.goto('/');
  await page.getByRole('link', { name: hostname(), exact: true }).waitFor();
  await eventually('the title', async () => (await page.title()) === `Dashboard – ${hostname()} – PerfWatch`);
  // The server has not been there for an hour.
  await page.locator('[data-verdict]').getByText('Too little history to say what is usual.').waitFor();
  const processes = page.getByRole('region', { name: 'Top processes' });
  const busiest = processes.getByRole('row').nth(1);
  await busiest.getByText(/\d %$/).waitFor();
  await busiest.getByRole('link').click();
  await page.waitForURL((url) => url.pathname.startsWith('/who/process/'));
  assert.deepEqual(page.problems, []);
  // Strangers are not told.
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('button', { name: 'Sign in' }).waitFor();
  assert.equal(await page.title(), 'Sign in – PerfWatch');
});

test('first screen: on paper it is black on white, whole and without controls', async ({
  browser,
  server,
  session,
}) => {
  const page = await browser.page({ server, session, height: 600 });
  await page.goto('/');
  await page.getByText('Live, every').first().waitFor();
  await page.locator('#pressure canvas, #pressure .border-line').first().waitFor();
  await page.emulateMedia({ media: 'print' });
  const colour = (selector) =>
    page
      .locator(selector)
      .first()
      .evaluate((element) => [getComputedStyle(element).backgroundColor, getComputedStyle(element).color]);
  await eventually('black on white', async () => {
    const [[background], [card, ink]] = [await colour('html'), await colour('.card')];
    return [background, card, ink].join() === 'rgb(255, 255, 255),rgb(255, 255, 255),rgb(0, 0, 0)';
  });
  const seen = (selector) =>
    page.locator(selector).evaluateAll((all) => all.filter((one) => one.checkVisibility()).length);
  assert.equal(await seen('.button, select, input, nav[aria-label=Pages], #app > div > header'), 0);
  assert.ok((await seen('.card header h2')) > 8, 'cards have their titles');
  await page.getByText(new RegExp(`^${hostname()}, .*–`)).waitFor();
  // Also what is far below the fold is drawn, for a white background.
  const brightness = await page
    .locator('.cards canvas')
    .last()
    .evaluate((canvas) => {
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      let darkest = 255;
      for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200) darkest = Math.min(darkest, data[i]);
      return darkest;
    });
  assert.ok(brightness < 120, `labels are dark: ${brightness}`);
  await page.emulateMedia({ media: null });
  await eventually('the dark theme again', async () =>
    page.evaluate(() => document.documentElement.dataset.theme === 'dark'),
  );
  // Paper is narrower than the window, and waits for nothing.
  await page.evaluate(() => {
    matchMedia('print').addEventListener('change', ({ matches }) => {
      if (!matches) return;
      queueMicrotask(() => {
        const charts = [...document.querySelectorAll('.uplot')];
        window.printed = charts.map((chart) => [chart.clientWidth, chart.parentElement.clientWidth]);
      });
    });
  });
  const wide = await page.evaluate(() => document.querySelector('.uplot').clientWidth);
  await page.pdf({ format: 'A4' });
  const printed = await page.evaluate(() => window.printed);
  assert.ok(printed[0][1] < wide, `${printed[0][1]} of ${wide} pixels`);
  for (const [drawn, room] of printed) assert.equal(drawn, room, 'a chart fits the paper');
  assert.deepEqual(page.problems, []);
});

test('after an upgrade a part that is gone reloads the page once, which says so', async ({
  browser,
  server,
  session,
}) => {
  const page = await browser.page({ server, session });
  let loads = 0;
  page.on('domcontentloaded', () => (loads += 1));
  await page.goto('/who');
  await page.getByRole('heading', { name: 'Who' }).waitFor();
  await page.route('**/assets/SettingsView-*.js', (route) => route.fulfill({ status: 404 }));
  await page.getByRole('link', { name: 'Settings' }).click();
  await page.getByText('PerfWatch was upgraded, so this page was reloaded.').waitFor();
  assert.equal(loads, 2);
  // What is missing again does not reload it for ever.
  await page.getByRole('link', { name: 'Settings' }).click();
  await page.getByText('A part of the page could not be loaded.').waitFor();
  assert.equal(loads, 2);
  await page.getByRole('button', { name: 'Dismiss' }).click();
  await page.unroute('**/assets/SettingsView-*.js');
  await page.reload();
  await page.getByRole('link', { name: 'Settings' }).click();
  await page.getByRole('heading', { name: 'Settings' }).waitFor();
});
