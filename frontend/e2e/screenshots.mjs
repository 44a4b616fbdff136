/**
 * Takes the README's screenshots: `npm run screenshots`. One incident is staged on a real server: a small shop works for
 * some minutes, then thumbnails take its CPU and a backup its disk. The pictures tell it from the spike to who it was.
 * The day before is seeded, if `cargo build --release -p perfwatch --example seed` has been run.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Browser } from './harness/browser.mjs';
import { Cgroup } from './harness/cgroup.mjs';
import { selectOn } from './harness/charts.mjs';
import { Server } from './harness/server.mjs';
import { Container, Services } from './harness/staged.mjs';
import { phone } from './harness/touch.mjs';

/** Explain compares with four times the length of the incident. */
const QUIET_MS = 330_000;
const INCIDENT_MS = 60_000;
const AFTERWARDS_MS = 25_000;
const MAX_BYTES = 300_000;
const out = path.resolve(import.meta.dirname, '../../docs/images');
const SEED = path.resolve(import.meta.dirname, '../../target/release/examples/seed');
const rule = {
  name: 'cpu-busy',
  summary: 'The CPUs are {value} busy',
  runbook: 'Who → sort by CPU.',
  field: 'cpu.usage_percent',
  function: 'average',
  window: '30s',
  warning: { above: 70, clear: 50 },
  critical: { above: 90, clear: 80 },
  for: '5s',
  keep_firing_for: '10m',
};

const at = (ms) => new Date(Math.round(ms / 1000) * 1000).toISOString();

/** Under a name of its own. */
const NAMED = [
  'unshare',
  '--uts',
  '/bin/sh',
  '-c',
  'echo shop-1 > /proc/sys/kernel/hostname; exec "$@"',
  'sh',
];

async function seededServer() {
  const server = await Server.start({}, NAMED);
  if (!existsSync(SEED)) {
    console.log(`without a day of history: no ${SEED}`);
    return server;
  }
  await server.halt();
  await promisify(execFile)(SEED, ['--days', '1', '--interval', '10', '--cpus', String(os.cpus().length)], {
    env: { ...process.env, PERFWATCH_DATA_DIR: server.dataDir },
  });
  await server.launch();
  return server;
}

// Server and browser are a service as well, rather than part of what takes the pictures.
const own = await Cgroup.make('perfwatch.service');
await own?.add(process);
const server = await seededServer();
const browser = await Browser.launch(['--lang=en-GB']);
const services = await Services.make();
let container = null;
try {
  const session = await server.login();
  await server.call(session, 'PUT', `/api/alerts/rules/${rule.name}`, rule);
  container = await Container.start('shop-db');
  await services.everyday();
  await sleep(QUIET_MS);
  // Profiles are kept by minute.
  await sleep(60_000 - (Date.now() % 60_000));
  const updated = Date.now();
  services.update();
  await server.call(session, 'POST', '/api/events', { text: 'Deployed shop', labels: { version: '1.43' } });
  // What is explained begins two seconds before the incident.
  await sleep(1000);
  const from = Date.now();
  const end = await services.incident();
  await sleep(INCIDENT_MS);
  await end();
  const to = Date.now();
  await sleep(AFTERWARDS_MS);

  const range = new URLSearchParams({ from: at(from - 2000), to: at(to + 2000) });
  // Of what was dragged; the dashboard behind it stays live.
  const explain = new URLSearchParams({
    range: '5m',
    explain: 'before',
    explain_from: at(from - 2000),
    explain_to: at(to + 2000),
  });
  const slower = new URLSearchParams({
    process: 'search',
    from: at(updated),
    to: at(updated + 60_000),
    against: 'before',
  });
  const around = new URLSearchParams({ from: at(from - 300_000), to: at(Date.now()) });
  const compared = new URLSearchParams({
    mode: 'compare',
    p: 'scheduler:runqueue_wait.histogram',
    from: at(from),
    to: at(to),
    earlier: `${(Math.ceil((to - from) / 1000) + 30).toString()}s`,
  });
  const dialog = (page) => page.getByRole('dialog', { name: /^Explain / });
  const explained = async (page) => {
    await dialog(page).getByRole('region', { name: 'Who' }).getByRole('listitem').first().waitFor();
  };
  const pages = [
    {
      name: 'spike',
      address: '/?range=5m',
      ready: '#cpu canvas',
      height: 1010,
      act: async (page) => {
        await page
          .getByText(/unusual|usual/)
          .first()
          .waitFor();
        await selectOn(page, page.locator('#cpu [role=img]').first(), { from, to, length: 300_000 });
        await page.mouse.move(1, 1);
      },
    },
    {
      name: 'explain',
      address: `/?${explain}`,
      ready: '#cpu canvas',
      height: 900,
      act: explained,
    },
    { name: 'who', address: `/who?${range}&show=cgroup`, ready: '[role=table] [role=row] a', height: 540 },
    {
      name: 'history',
      address: `/who/cgroup/thumbnails.service?${around}`,
      ready: '[role=img] canvas',
      height: 900,
    },
    {
      name: 'container',
      address: `/who?${around}&show=cgroup&q=shop-db`,
      ready: '[role=table] [role=row] a',
      height: 1010,
      act: async (page) => {
        await page.getByRole('link', { name: 'shop-db', exact: true }).click();
        await page.locator('[role=img] canvas').first().waitFor();
      },
    },
    {
      name: 'profile',
      address: `/profile?${slower}`,
      ready: 'canvas',
      height: 720,
      act: async (page) => {
        await page.getByText('compare_prices').first().waitFor();
      },
    },
    { name: 'compare', address: `/history?${compared}`, ready: '[role=img]', height: 820 },
    { name: 'alerts', address: '/alerts', ready: '#rules tbody tr', height: 900 },
    { name: 'phone', address: '/?range=5m', ready: '#cpu canvas', ...phone, deviceScaleFactor: 2 },
    {
      name: 'phone-explain',
      address: `/?${explain}`,
      ready: '#cpu canvas',
      act: explained,
      ...phone,
      deviceScaleFactor: 2,
    },
  ];
  for (const { name, address, ready, act, ...context } of pages) {
    const page = await browser.page({ server, session, width: 1440, reducedMotion: 'reduce', ...context });
    const file = path.join(out, `${name}.png`);
    try {
      await page.goto(address);
      await page.locator(ready).first().waitFor();
      await act?.(page);
      // Charts of the whole page, and the first answers of the API.
      await page.waitForFunction(() => document.querySelector('.skeleton') === null);
      await page.waitForLoadState('networkidle');
    } catch (error) {
      // The picture shows why; those that follow may be good.
      console.log(`${name}: ${error.message}`);
      process.exitCode = 1;
    }
    await page.screenshot({ path: file });
    if (page.problems.length > 0) console.log(`${name}: ${page.problems.join('; ')}`);
    await page.close();
    const { size } = await stat(file);
    console.log(`${file}: ${Math.round(size / 1000)} kB`);
    if (size > MAX_BYTES) process.exitCode = 1;
  }
} finally {
  await services.stop();
  await container?.stop();
  await browser.close();
  await server.stop();
  await own?.leave(process);
  await own?.remove();
}
