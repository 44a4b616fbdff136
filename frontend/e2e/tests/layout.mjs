/** From phones to large screens: nothing sticks out, nothing moves by itself, and fingers find what they aim at. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { pages, show } from '../harness/pages.mjs';
import { test } from '../harness/suite.mjs';

const widths = [360, 390, 640, 700, 768, 1024, 1440, 2560, 3840];

/** Elements that reach beyond the window and are not in something that scrolls. */
function stickingOut() {
  const { clientWidth } = document.documentElement;
  const scrolls = (element) => {
    for (let at = element.parentElement; at !== null; at = at.parentElement) {
      if (getComputedStyle(at).overflowX !== 'visible') return true;
    }
    return false;
  };
  const found = [...document.body.querySelectorAll('*')].filter((element) => {
    if (!element.checkVisibility()) return false;
    const { left, right, width } = element.getBoundingClientRect();
    return width > 1 && (right > clientWidth + 1 || left < -1) && !scrolls(element);
  });
  const names = found.map((element) => element.cloneNode(false).outerHTML.slice(0, 140));
  return { wide: document.documentElement.scrollWidth - clientWidth, names: names.slice(0, 5) };
}

/** What a finger may aim at and is smaller than 40 px. Links within text are exempt. */
function tooSmall() {
  // The handles of the overview are dragged anywhere near them.
  const all = 'button, select, summary, input, a[href], [role=option], [data-scrubber]';
  return [...document.querySelectorAll(all)]
    .filter((element) => {
      if (!element.checkVisibility({ visibilityProperty: true }) || element.closest('.sr-only') !== null)
        return false;
      if (element.tagName === 'A' && getComputedStyle(element).display === 'inline') return false;
      // A label is as good as its box.
      const target = element.closest('label') ?? element;
      const { width, height } = target.getBoundingClientRect();
      return width < 39.5 || height < 39.5;
    })
    .map((element) => {
      const { width, height } = element.getBoundingClientRect();
      const name = element.getAttribute('aria-label') ?? element.textContent.trim();
      return `${element.tagName} ${name.slice(0, 40)}: ${Math.round(width)} × ${Math.round(height)}`;
    });
}

/** Runs first in the page: adds up how far its parts move by themselves. */
function watchMoves() {
  window.moved = { total: 0, most: [] };
  const observer = new PerformanceObserver((list) => {
    for (const { value, sources } of list.getEntries()) {
      window.moved.total += value;
      const parts = sources.map(({ node, previousRect, currentRect }) => {
        const name = node?.cloneNode(false).outerHTML?.slice(0, 100) ?? 'gone';
        return `${name} from ${previousRect.left}, ${previousRect.top} to ${currentRect.left}, ${currentRect.top}`;
      });
      if (value > 0.01) window.moved.most.push(...parts);
    }
  });
  observer.observe({ type: 'layout-shift', buffered: true });
}

for (const { name, width, height, range } of [
  { name: 'the dashboard', width: 1440, height: 900, range: 'range=15m' },
  { name: 'the dashboard on a phone', width: 390, height: 844, range: 'range=15m' },
  { name: 'the dashboard of a past hour', width: 1440, height: 900, range: null },
]) {
  test(`layout: nothing moves while ${name} opens and goes on`, async ({ browser, server, session }) => {
    const page = await browser.page({ server, session, width, height });
    await page.addInitScript(watchMoves);
    const [from, to] = [Date.now() - 3_600_000, Date.now()].map((at) => new Date(at).toISOString());
    await page.goto(`/?${range ?? new URLSearchParams({ from, to })}`);
    await page.getByRole('region', { name: 'Top processes' }).getByRole('row').nth(1).waitFor();
    await page.locator('#cpu canvas').first().waitFor();
    // Digits come and go with each tick.
    await sleep(4000);
    const { total, most } = await page.evaluate(() => window.moved);
    assert.ok(total < 0.05, `cumulative layout shift ${total.toFixed(3)}: ${most.join('\n')}`);
  });
}

for (const one of pages) {
  test(`layout: nothing sticks out at any width on ${one.address}`, async ({ browser, server, session }) => {
    const page = await browser.page({ server, ...(one.open ? {} : { session }) });
    await show(page, one);
    for (const width of widths) {
      await page.setViewportSize({ width, height: 900 });
      // Charts follow their boxes in the next frames.
      await page.evaluate(
        () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))),
      );
      assert.deepEqual(await page.evaluate(stickingOut), { wide: 0, names: [] }, `${width} px`);
    }
  });

  test(`layout: fingers find what they aim at on ${one.address}`, async ({ browser, server, session }) => {
    const touch = { width: 390, height: 844, hasTouch: true, isMobile: true };
    const page = await browser.page({ server, ...(one.open ? {} : { session }), ...touch });
    await show(page, one);
    assert.deepEqual(await page.evaluate(tooSmall), []);
    assert.deepEqual(await page.evaluate(stickingOut), { wide: 0, names: [] });
  });
}
