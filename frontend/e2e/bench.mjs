/**
 * What an open dashboard costs the browser's machine: `npm run bench -- [--minutes N] [--json FILE]`.
 *
 * The real server ticks once a second, every card is open on a full window of 15 minutes, and Chromium reports
 * the CPU time of its main thread. The floor, measured in the same run, is a page that only parses each message.
 * Whether memory stays flat is measured as heap size after garbage collection: while an hour of ticks is replayed in a
 * minute or two, or, with `--minutes` of ten or more, over the run itself.
 * Then how long it takes to open over slow links, and to zoom from a month to a minute.
 */
import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { overSlowLinks } from './bench/links.mjs';
import { zooming } from './bench/zooming.mjs';
import { Browser, missingBrowser } from './harness/browser.mjs';
import { manyProcesses } from './harness/larger.mjs';
import { Server } from './harness/server.mjs';

const { values: options } = parseArgs({
  options: { minutes: { type: 'string', default: '1' }, json: { type: 'string' } },
});
const seconds = Number(options.minutes) * 60;
const SETTLE_MS = 8000;
const FLOOR_S = 30;
const TABLE_S = 20;
/** The page's buffer size: a buffer that still fills would look like a leak. */
const CAPACITY_TICKS = 3600 + 256;
/** Heap readings per run. */
const READINGS = 30;
/** A run this long can tell a leak from warm-up. */
const LONG_RUN_S = 600;
/** An hour of ticks, and how many per frame. */
const REPLAYED_TICKS = 3600;
const TICKS_A_FRAME = 4;
/** Ticks per frame while filling the buffers with the ticks to replay: others could differ in size. */
const FILLED_A_FRAME = 64;

/**
 * Runs in the page: the server has just started and cannot have an hour of data yet, so copies of its first tick come
 * before it with earlier times. Later ticks pass unchanged; the last of them can be replayed faster than they arrive,
 * with later and later times. Ticks come as text: to unpack one takes a fifth of a millisecond.
 */
function fillBuffers(length) {
  const Native = window.WebSocket;
  const REPLAYED_MESSAGES = 60;
  const TIMESTAMP = /"timestamp":"([^"]+)"/;
  let filled = false;
  let replaying = false;
  const last = [];
  let time = 0;
  let deliver;
  const at = (text, ms) => ({
    data: text.replace(TIMESTAMP, `"timestamp":"${new Date(ms).toISOString()}"`),
  });
  window.perfwatchReplay = async (ticks, perFrame) => {
    // From now on real ticks would be seen as a clock set back.
    replaying = true;
    time = Math.max(time, ...last.map((text) => Date.parse(TIMESTAMP.exec(text)[1])));
    for (let i = 0; i < ticks; i += 1) {
      if (i % perFrame === 0) await new Promise(requestAnimationFrame);
      time += 1000;
      deliver(at(last[i % last.length], time));
    }
  };
  window.WebSocket = class extends Native {
    constructor(url, protocols) {
      const plain = new URL(url);
      plain.searchParams.delete('compression');
      super(plain, protocols);
    }
    set onmessage(handler) {
      deliver = handler;
      super.onmessage =
        handler &&
        ((event) => {
          if (replaying) return;
          if (event.data.startsWith('{"type":"metrics"')) last.push(event.data);
          if (last.length > REPLAYED_MESSAGES) last.shift();
          if (!filled && last.length > 0) {
            filled = true;
            const start = Date.parse(TIMESTAMP.exec(event.data)[1]);
            for (let i = length; i > 0; i -= 1) handler(at(event.data, start - i * 1000));
          }
          handler(event);
        });
    }
  };
}

/** Runs in the page: when the dashboard was there to be used, and which tasks held the main thread until then. */
function noteLoad() {
  const seen = { longTasks: [] };
  window.perfwatchLoad = seen;
  new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) seen.longTasks.push([startTime, duration]);
  }).observe({ type: 'longtask', buffered: true });
  new MutationObserver((_, observer) => {
    seen.mounted ??= document.querySelector('#cpu') === null ? undefined : performance.now();
    if (document.querySelector('#cpu .uplot canvas') === null) return;
    seen.chart = performance.now();
    observer.disconnect();
  }).observe(document, { childList: true, subtree: true });
}

async function load(browser, server, session) {
  const page = await browser.page({ server, session, width: 1920, height: 1080 });
  await page.addInitScript(noteLoad);
  await page.goto('/?range=15m');
  await page.locator('#cpu .uplot canvas').first().waitFor();
  const { seen, paint, scripts } = await page.evaluate(() => ({
    seen: window.perfwatchLoad,
    paint: performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null,
    scripts: performance
      .getEntriesByType('resource')
      .filter(({ name }) => name.endsWith('.js'))
      .map(({ name, encodedBodySize, startTime }) => ({ name, size: encodedBodySize, at: startTime })),
  }));
  // The charts' own code is asked for last of all that they need.
  const charts = scripts.find(({ name }) => name.includes('/uplot-'));
  const before = scripts.filter(({ at }) => at < charts.at);
  // The last long task that began before the page was mounted still kept it from answering.
  const busyUntil = seen.longTasks
    .filter(([start]) => start < seen.mounted)
    .map(([start, duration]) => start + duration);
  return {
    first_load_sent_kib: before.reduce((sum, { size }) => sum + size, 0) / 1024,
    first_load_gzip_kib: await gzipKib(before.map(({ name }) => name)),
    first_paint_ms: paint,
    interactive_ms: Math.max(seen.mounted, ...busyUntil),
    first_chart_ms: seen.chart,
  };
}

/** Script size with gzip; the server compresses better. */
async function gzipKib(urls) {
  const sizes = await Promise.all(
    urls.map(async (url) => gzipSync(new Uint8Array(await (await fetch(url)).arrayBuffer())).length),
  );
  return sizes.reduce((sum, size) => sum + size, 0) / 1024;
}

/** Chromium's metrics: CPU seconds of the main thread, heap size. */
async function metrics(cdp) {
  const { metrics } = await cdp.send('Performance.getMetrics');
  const of = (name) => metrics.find((metric) => metric.name === name).value;
  return {
    at: performance.now() / 1000,
    busy: of('TaskDuration'),
    script: of('ScriptDuration'),
    layout: of('LayoutDuration') + of('RecalcStyleDuration'),
    heap: of('JSHeapUsedSize') / 1024,
    nodes: of('Nodes'),
  };
}

async function collected(cdp) {
  await cdp.send('HeapProfiler.collectGarbage');
  return await metrics(cdp);
}

/** KiB per hour by least squares over `[seconds, KiB]`, without the first quarter, the warm-up. */
function slope(all) {
  const points = all.slice(Math.ceil(all.length / 4));
  const mean = (k) => points.reduce((sum, point) => sum + point[k], 0) / points.length;
  const [x, y] = [mean(0), mean(1)];
  const above = points.reduce((sum, point) => sum + (point[0] - x) * (point[1] - y), 0);
  const below = points.reduce((sum, point) => sum + (point[0] - x) ** 2, 0);
  return (3600 * above) / below;
}

async function watch(page, length) {
  const cdp = await page.context().newCDPSession(page);
  // CPU time, not wall time, so that a busy machine does not matter.
  await cdp.send('Performance.enable', { timeDomain: 'threadTicks' });
  await sleep(SETTLE_MS);
  const first = await collected(cdp);
  const readings = [first];
  const spent = { at: 0, busy: 0, script: 0, layout: 0 };
  // Time is taken between collections: those are ours, not the page's. They also discard compiled code, which then
  // runs slowly for a while, so a short run has none in between.
  const every = length >= LONG_RUN_S ? length / READINGS : length;
  while (readings.at(-1).at < first.at + length) {
    const before = await metrics(cdp);
    await sleep(every * 1000);
    const after = await metrics(cdp);
    for (const part of Object.keys(spent)) spent[part] += after[part] - before[part];
    readings.push(await collected(cdp));
  }
  const share = (part) => (100 * spent[part]) / spent.at;
  const last = readings.at(-1);
  return {
    busy_percent: share('busy'),
    script_percent: share('script'),
    layout_percent: share('layout'),
    heap_start_kib: first.heap,
    heap_end_kib: last.heap,
    ...(length >= LONG_RUN_S && {
      heap_slope_kib_per_hour: slope(readings.map(({ at, heap }) => [at, heap])),
    }),
    node_growth: last.nodes - first.nodes,
    heap_over_time_kib: readings.map(({ at, heap }) => [Math.round(at - first.at), Math.round(heap)]),
  };
}

async function dashboard(browser, server, session) {
  // Tall enough for every card: those out of sight would not be drawn.
  const page = await browser.page({ server, session, width: 1920, height: 2400 });
  await page.addInitScript(fillBuffers, CAPACITY_TICKS);
  await page.goto('/?range=15m');
  await page.locator('#cpu canvas').first().waitFor();
  const watched = await watch(page, seconds);
  return { ...(seconds < LONG_RUN_S && (await replay(page))), ...watched };
}

/** The heap while an hour of ticks passes in far less. */
async function replay(page) {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('Performance.enable');
  const play = (count, perFrame) =>
    page.evaluate(([ticks, each]) => window.perfwatchReplay(ticks, each), [count, perFrame]);
  await play(CAPACITY_TICKS, FILLED_A_FRAME);
  const points = [];
  for (let ticks = 0; ticks <= REPLAYED_TICKS; ticks += REPLAYED_TICKS / READINGS) {
    points.push([ticks, (await collected(cdp)).heap]);
    await play(REPLAYED_TICKS / READINGS, TICKS_A_FRAME);
  }
  return { heap_slope_kib_per_hour: slope(points), replayed_over_ticks_kib: points };
}

/** A table of ten thousand processes scrolled at every frame: frame times and CPU time. */
async function table(browser, server, session) {
  const page = await browser.page({ server, session, width: 1920, height: 1080 });
  await manyProcesses(page, 10_000);
  await page.goto('/who');
  await page.locator('[role=table][aria-rowcount="10001"]').waitFor();
  const watched = watch(page, TABLE_S);
  const gaps = await page.evaluate(async (length) => {
    const element = document.querySelector('[role=table]');
    const found = [];
    const start = performance.now();
    let last = start;
    while (last - start < length) {
      const now = await new Promise(requestAnimationFrame);
      found.push(now - last);
      last = now;
      element.scrollTop = (element.scrollTop + 90) % (element.scrollHeight - element.clientHeight);
    }
    return found.slice(1).sort((a, b) => a - b);
  }, TABLE_S * 1000);
  return {
    table_frame_p50_ms: gaps[Math.floor(gaps.length * 0.5)],
    table_frame_p99_ms: gaps[Math.floor(gaps.length * 0.99)],
    table_frame_max_ms: gaps.at(-1),
    table_busy_percent: (await watched).busy_percent,
  };
}

async function floor(browser, server, session) {
  const page = await browser.page({ server });
  await page.goto('/favicon.svg');
  await page.evaluate((token) => {
    const socket = new WebSocket(`ws://${location.host}/api/ws/metrics`, ['bearer', token]);
    socket.onmessage = (event) => JSON.parse(event.data);
  }, session.token);
  return (await watch(page, Math.min(seconds, FLOOR_S))).busy_percent;
}

const missing = missingBrowser();
if (missing !== null) {
  console.log(`SKIPPED: page: ${missing}`);
} else {
  const server = await Server.start();
  const since = performance.now();
  const browser = await Browser.launch();
  const figures = {};
  /** Each part takes minutes: what is known is told at once. */
  const add = (part) => {
    Object.assign(figures, part);
    for (const [name, value] of Object.entries(part)) console.log(`  ${name.padEnd(34)}${value.toFixed(2)}`);
  };
  const series = (points) => points.map(([at, kib]) => `${Math.round(kib)} at ${at}`).join(', ');
  try {
    const session = await server.login();
    await sleep(10_000);
    console.log('opening the dashboard');
    add(await load(browser, server, session));
    await browser.closePages();
    console.log(`the dashboard over ${seconds} s: ticks of 1 s, a window of 15 minutes, every card in sight`);
    const { heap_over_time_kib, replayed_over_ticks_kib, ...cost } = await dashboard(
      browser,
      server,
      session,
    );
    add(cost);
    console.log(`  heap after a collection, KiB at s: ${series(heap_over_time_kib)}`);
    if (replayed_over_ticks_kib !== undefined)
      console.log(`  and an hour of ticks played back, KiB at tick: ${series(replayed_over_ticks_kib)}`);
    await browser.closePages();
    console.log('the table of 10,000 processes, and a page that only parses ticks');
    add(await table(browser, server, session));
    await browser.closePages();
    add({ floor_busy_percent: await floor(browser, server, session) });
    await browser.closePages();
    console.log('opening the dashboard over slow links, once five minutes are recorded');
    add(await overSlowLinks(browser, server, session, since));
    await browser.closePages();
    console.log('zooming into a month of history, once it is seeded');
    add(await zooming(browser));
    if (options.json !== undefined) await writeFile(options.json, JSON.stringify(figures));
  } finally {
    await browser.close();
    await server.stop();
  }
}
