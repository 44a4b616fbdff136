/** Accessibility and loading: no serious axe violations, keyboard only, reduced motion, a small and local first load. */
import assert from 'node:assert/strict';
import { seriousViolations } from '../harness/axe.mjs';
import { pages, show } from '../harness/pages.mjs';
import { eventually, test } from '../harness/suite.mjs';

for (const one of pages) {
  test(`axe finds nothing serious on ${one.address}`, async ({ browser, server, session }) => {
    for (const theme of ['dark', 'light']) {
      for (const width of [390, 1440]) {
        const page = await browser.page({ server, ...(one.open ? {} : { session }), width, bypassCSP: true });
        await show(page, one, `theme=${theme}`);
        assert.deepEqual(await seriousViolations(page), [], `${theme}, ${width} px`);
        await page.close();
      }
    }
  });
}

test('the page works with the keyboard alone', async ({ browser, server, session }) => {
  const page = await browser.page({ server, session });
  await page.goto('/');
  await page.locator('#cpu canvas').first().waitFor();
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.textContent.trim()), 'Skip to content');
  await page.getByRole('button', { name: 'Cards' }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Move Memory up' }).focus();
  await page.keyboard.press('Enter');
  await page.keyboard.press('Escape');
  const first = page.locator('.cards > section').first();
  await eventually('memory comes first', async () => (await first.getAttribute('id')) === 'memory');
  await page.getByRole('link', { name: 'Settings' }).focus();
  await page.keyboard.press('Enter');
  await page.waitForURL((url) => url.pathname === '/settings');
  await page.getByRole('button', { name: 'Light', exact: true }).focus();
  await page.keyboard.press('Space');
  await eventually('the light theme', async () =>
    page.evaluate(() => document.documentElement.dataset.theme === 'light'),
  );
  assert.deepEqual(page.problems, []);
});

test('the theme is the system’s unless another one is chosen', async ({ browser, server, session }) => {
  for (const colorScheme of ['light', 'dark']) {
    const page = await browser.page({ server, session, colorScheme });
    await page.goto('/');
    const shown = () => page.evaluate(() => document.documentElement.dataset.theme);
    await page.locator('#cpu').waitFor();
    assert.equal(await shown(), colorScheme);
    const other = colorScheme === 'light' ? 'dark' : 'light';
    await page.getByRole('button', { name: `Switch to the ${other} theme` }).click();
    await page.reload();
    await page.locator('#cpu').waitFor();
    assert.equal(await shown(), other);
    await page.close();
  }
});

test('nothing moves with reduced motion', async ({ browser, server, session }) => {
  const page = await browser.page({ server, session, reducedMotion: 'reduce' });
  await page.goto('/');
  await page.locator('#cpu canvas').first().waitFor();
  assert.equal(await page.evaluate(() => document.getAnimations().length), 0);
});

test('the first load is small and local', async ({ browser, server, session }) => {
  const page = await browser.page({ server, session });
  const hosts = new Set();
  page.on('request', (request) => hosts.add(new URL(request.url()).host));
  await page.goto('/');
  await page.locator('#cpu .uplot canvas').first().waitFor();
  assert.deepEqual([...hosts], [new URL(server.url).host]);
  const scripts = await page.evaluate(() =>
    performance
      .getEntriesByType('resource')
      .filter(({ name }) => name.endsWith('.js'))
      .map(({ name, encodedBodySize, startTime }) => ({ name, size: encodedBodySize, at: startTime })),
  );
  // The charts' own code is asked for last of all that they need.
  const charts = scripts.find(({ name }) => name.includes('/uplot-'));
  const beforeCharts = scripts.filter(({ at }) => at < charts.at).reduce((sum, { size }) => sum + size, 0);
  assert.ok(
    beforeCharts > 0 && beforeCharts <= 110 * 1024,
    `${(beforeCharts / 1024).toFixed(0)} KiB before charts`,
  );
});
