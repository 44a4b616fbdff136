/** How long each step takes from a month to a minute, on the dashboard of a server with a month of history. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { BINARY, Server } from '../harness/server.mjs';

const SEED = path.join(path.dirname(BINARY), 'examples/seed');
const DAYS = 30;
const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;
const QUIET_MS = 500;
/** Each has about fifteen steps. */
const ROUNDS = 4;

/** Runs in the page: presses a key, and waits until all that is in view shows the range that it chose. */
async function step(key) {
  const before = location.search;
  const frame = () => new Promise(requestAnimationFrame);
  const isDone = () =>
    location.search !== before &&
    document.querySelector('main p[aria-busy="false"]') !== null &&
    document.querySelector('main .skeleton') === null;
  const start = performance.now();
  // Asking at every frame would make it draw frames.
  const done = new Promise((resolve, reject) => {
    const observer = new MutationObserver(() => {
      if (!isDone()) return;
      observer.disconnect();
      resolve();
    });
    observer.observe(document, { subtree: true, childList: true, attributeFilter: ['aria-busy', 'class'] });
    setTimeout(() => reject(new Error(`${location.search} is not shown`)), 60_000);
  });
  document.body.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
  await done;
  // Once for the frame that draws it, and once more until that has ended.
  await frame();
  await frame();
  return performance.now() - start;
}

/** To wait with until nothing has been loaded for a while. Playwright's `networkidle` is only the first such moment. */
function quietOf(page) {
  const open = new Set();
  let changed = Date.now();
  const note = (change) => (request) => {
    change(request);
    changed = Date.now();
  };
  page.on(
    'request',
    note((one) => open.add(one)),
  );
  for (const end of ['requestfinished', 'requestfailed'])
    page.on(
      end,
      note((one) => open.delete(one)),
    );
  return async () => {
    while (open.size > 0 || Date.now() - changed < QUIET_MS) await sleep(50);
  };
}

const lengthOf = (page) => {
  const { searchParams } = new URL(page.url());
  return Date.parse(searchParams.get('to')) - Date.parse(searchParams.get('from'));
};

export async function zooming(browser) {
  if (!existsSync(SEED))
    throw new Error(`no ${SEED}; run: cargo build --release -p perfwatch --example seed`);
  const server = await Server.start();
  try {
    await server.halt();
    await promisify(execFile)(SEED, ['--days', String(DAYS), '--interval', '60'], {
      env: { ...process.env, PERFWATCH_DATA_DIR: server.dataDir },
    });
    await server.launch();
    const session = await server.login();
    const took = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const page = await browser.page({ server, session, width: 1920, height: 1080 });
      const quiet = quietOf(page);
      const to = Date.now();
      const query = new URLSearchParams({
        from: new Date(to - DAYS * DAY_MS).toISOString(),
        to: new Date(to).toISOString(),
      });
      await page.goto(`/?${query}`);
      await page.locator('#cpu canvas').first().waitFor();
      await quiet();
      while (lengthOf(page) > MINUTE_MS) {
        took.push(await page.evaluate(step, '+'));
        // A person looks before going on, and what is noticed only then has been loaded.
        await quiet();
      }
      await page.close();
    }
    took.sort((a, b) => a - b);
    return {
      zoom_step_p50_ms: took[Math.floor(took.length * 0.5)],
      zoom_step_p95_ms: took[Math.floor(took.length * 0.95)],
      zoom_steps: took.length,
    };
  } finally {
    await server.stop();
  }
}
