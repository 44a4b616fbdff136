/** How long the dashboard takes to open over slow links, and how much is sent for it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { SlowLink } from '../harness/slowLink.mjs';

const MEGABIT = 1_000_000;
/** Links by the name of their figures. */
const LINKS = { at_1_6_mbit: 1.6 * MEGABIT, at_10_mbit: 10 * MEGABIT };
/** The default range: the store has all of it by then. */
export const FULL_WINDOW_MS = 5 * 60_000;
const STREAM_S = 10;

/** Runs in the page: when the first number, and when the last placeholder was seen. */
function noteOpening() {
  const seen = { number: null };
  window.perfwatchOpening = seen;
  new MutationObserver((_, observer) => {
    const header = document.querySelector('#cpu header');
    if (!/[\d.]+ %/.test(header?.textContent ?? '')) return;
    seen.number = performance.now();
    observer.disconnect();
  }).observe(document, { childList: true, subtree: true, characterData: true });
}

async function opening(browser, server, session, bitsPerSecond) {
  const link = await SlowLink.start(server, { bitsPerSecond });
  try {
    const page = await browser.page({ server: link, session });
    await page.addInitScript(noteOpening);
    await page.goto('/', { waitUntil: 'commit' });
    await page.waitForFunction(() => typeof window.perfwatchOpening?.number === 'number');
    await page.locator('#cpu canvas').first().waitFor();
    await page.waitForFunction(() => document.querySelector('.skeleton') === null);
    const complete_ms = await page.evaluate(() => performance.now());
    await page.waitForLoadState('networkidle');
    const sent_kib = link.received / 1024;
    const first_number_ms = await page.evaluate(() => window.perfwatchOpening.number);
    // Elsewhere only the stream is sent.
    await page.goto('/settings');
    await page.waitForLoadState('networkidle');
    const before = link.received;
    await sleep(STREAM_S * 1000);
    const stream_bytes_per_s = (link.received - before) / STREAM_S;
    await page.close();
    return { first_number_ms, complete_ms, sent_kib, stream_bytes_per_s };
  } finally {
    await link.stop();
  }
}

/** `since`: when the server began to record. */
export async function overSlowLinks(browser, server, session, since) {
  await sleep(Math.max(0, since + FULL_WINDOW_MS - performance.now()));
  const figures = {};
  for (const [name, bitsPerSecond] of Object.entries(LINKS)) {
    const found = await opening(browser, server, session, bitsPerSecond);
    for (const [what, value] of Object.entries(found)) figures[`${name}_${what}`] = value;
  }
  return figures;
}
