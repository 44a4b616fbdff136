/**
 * What an open dashboard costs the reader's machine: `npm run bench -- [--seconds N] [--json FILE]`.
 *
 * The real server ticks once a second, every card is open on a full window of 15 minutes, and Chromium itself tells
 * how much CPU time its main thread took. The floor, measured in the same run, is a page that only parses each message.
 */
import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Browser, missingBrowser } from './harness/browser.mjs';
import { Server } from './harness/server.mjs';

const { values: options } = parseArgs({
  options: { seconds: { type: 'string', default: '60' }, json: { type: 'string' } },
});
const seconds = Number(options.seconds);
const SETTLE_MS = 8000;
const WINDOW_S = 900;

/**
 * Runs in the page: the server, just started, cannot have 15 minutes yet, so the first message is filled up with
 * its own documents at earlier times. Later messages pass as they are.
 */
function fillWindow(length) {
  const Native = window.WebSocket;
  let filled = false;
  const fill = (text) => {
    const message = JSON.parse(text);
    const { snapshots } = message;
    const start = Date.parse(snapshots[0].timestamp);
    const earlier = Array.from({ length }, (_, i) => ({
      ...snapshots[i % snapshots.length],
      timestamp: new Date(start - (length - i) * 1000).toISOString(),
    }));
    return JSON.stringify({ ...message, snapshots: [...earlier, ...snapshots] });
  };
  window.WebSocket = class extends Native {
    set onmessage(handler) {
      super.onmessage =
        handler &&
        ((event) => {
          if (filled || !event.data.startsWith('{"type":"history"')) return handler(event);
          filled = true;
          return handler({ data: fill(event.data) });
        });
    }
  };
}

/** Main-thread CPU seconds and bytes of the heap, after a collection. */
async function read(cdp) {
  await cdp.send('HeapProfiler.collectGarbage');
  const { metrics } = await cdp.send('Performance.getMetrics');
  const of = (name) => metrics.find((metric) => metric.name === name).value;
  return {
    at: performance.now() / 1000,
    busy: of('TaskDuration'),
    script: of('ScriptDuration'),
    layout: of('LayoutDuration') + of('RecalcStyleDuration'),
    heap: of('JSHeapUsedSize'),
    nodes: of('Nodes'),
  };
}

async function watch(page) {
  const cdp = await page.context().newCDPSession(page);
  // CPU time of the main thread: on a busy machine its tasks take longer, but no more of it.
  await cdp.send('Performance.enable', { timeDomain: 'threadTicks' });
  await sleep(SETTLE_MS);
  const before = await read(cdp);
  await sleep(seconds * 1000);
  const after = await read(cdp);
  const share = (part) => (100 * (after[part] - before[part])) / (after.at - before.at);
  return {
    busy_percent: share('busy'),
    script_percent: share('script'),
    layout_percent: share('layout'),
    heap_kib: after.heap / 1024,
    heap_growth_kib: (after.heap - before.heap) / 1024,
    node_growth: after.nodes - before.nodes,
  };
}

async function dashboard(browser, server, session) {
  const page = await browser.page({ server, session, width: 1920, height: 1080 });
  await page.addInitScript(fillWindow, WINDOW_S);
  await page.goto('/?window=15');
  await page.locator('#cpu canvas').first().waitFor();
  const load = await page.evaluate(() => {
    const scripts = performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('.js'));
    const first = scripts.filter(({ name }) => !name.includes('/echarts-'));
    return {
      first_paint_ms: performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null,
      first_chart_ms: performance.now(),
      first_load_kib: first.reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0) / 1024,
    };
  });
  // Every card is looked at: those far down are not drawn while they are out of sight.
  await page.setViewportSize({ width: 1920, height: 2400 });
  return { ...(await watch(page)), ...load };
}

async function floor(browser, server, session) {
  const page = await browser.page({ server });
  await page.goto('/favicon.svg');
  await page.evaluate((token) => {
    const socket = new WebSocket(`ws://${location.host}/api/ws/metrics?backfill=720`, ['bearer', token]);
    socket.onmessage = (event) => JSON.parse(event.data);
  }, session.token);
  return (await watch(page)).busy_percent;
}

const missing = missingBrowser();
if (missing !== null) {
  console.log(`page: skipped: ${missing}`);
} else {
  const server = await Server.start();
  const browser = await Browser.launch();
  try {
    const session = await server.login();
    await sleep(10_000);
    const figures = await dashboard(browser, server, session);
    await browser.closePages();
    figures.floor_busy_percent = await floor(browser, server, session);
    console.log(`the dashboard over ${seconds} s: ticks of 1 s, a window of 15 minutes, every card in sight`);
    for (const [name, value] of Object.entries(figures))
      console.log(`  ${name.padEnd(20)}${value.toFixed(2)}`);
    if (options.json !== undefined) await writeFile(options.json, JSON.stringify(figures));
  } finally {
    await browser.close();
    await server.stop();
  }
}
