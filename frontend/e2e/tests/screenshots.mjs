/** Screenshots of every page at several widths in both themes, for review; nothing may overflow. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { eventually, test } from '../harness/suite.mjs';

const out = path.resolve(import.meta.dirname, '../../../target/screenshots');
const sizes = [
  { width: 360, height: 800 },
  { width: 390, height: 844 },
  { width: 700, height: 900 },
  { width: 768, height: 1024 },
  { width: 1440, height: 900 },
  { width: 2560, height: 1440 },
];

const pages = [
  { name: 'login', path: '/login', ready: '[type=submit]', open: true },
  { name: 'dashboard', path: '/', ready: '#cpu canvas' },
  { name: 'who', path: '/who', ready: '[role=table], #content .border-amber' },
  { name: 'who-name', path: '/who/name/perfwatch?range=5m', ready: '[role=img]' },
  { name: 'profile', path: '/profile?range=5m', ready: '[data-profile]' },
  { name: 'profile-compare', path: '/profile?range=1m&against=before', ready: '[data-profile]' },
  { name: 'alerts', path: '/alerts', ready: '#rules tbody tr' },
  { name: 'settings', path: '/settings', ready: '#sources tbody tr' },
  {
    name: 'history',
    path: '/history?p=cpu:usage_percent,user&p=scheduler:runqueue_wait.histogram&p=cpu:load_avg.0',
    ready: 'table',
  },
  { name: 'compare', path: '/history?mode=compare&p=memory:usage_percent', ready: '[role=img]' },
  { name: 'changes', path: '/history?mode=changes', ready: '[aria-label="What changed"]' },
];

for (const { name, path: address, ready, open } of pages) {
  test(`screenshots of ${name}`, async ({ browser, server, session }) => {
    mkdirSync(out, { recursive: true });
    for (const theme of ['dark', 'light']) {
      const page = await browser.page({ server, ...(open ? {} : { session }), reducedMotion: 'reduce' });
      await page.goto(`${address}${address.includes('?') ? '&' : '?'}theme=${theme}`);
      for (const size of sizes) {
        await page.setViewportSize(size);
        await page.locator(ready).first().waitFor();
        await eventually(
          'no skeleton left',
          async () => (await page.locator('.skeleton:visible').count()) === 0,
        );
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        assert.ok(overflow <= 0, `${name} is ${overflow} px too wide at ${size.width} px`);
        await page.screenshot({ path: path.join(out, `${name}-${size.width}-${theme}.png`), fullPage: true });
      }
      assert.deepEqual(page.problems, []);
      await page.close();
    }
  });
}
