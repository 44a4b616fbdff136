/**
 * Takes the README's screenshots of a real server under load: `npm run screenshots`.
 * 90 quiet seconds, then 90 with CPU hogs and a writer, so that the comparison has something to show.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Browser } from './harness/browser.mjs';
import { NamedHog } from './harness/load.mjs';
import { Server } from './harness/server.mjs';

const PHASE_MS = 90_000;
const MAX_BYTES = 300_000;
const out = path.resolve(import.meta.dirname, '../../docs/images');

/** Writes to disk with O_DSYNC until stopped. */
class Writer {
  static async start() {
    const writer = new Writer();
    // Not in /tmp, which may be memory.
    writer.folder = await mkdtemp(path.resolve(import.meta.dirname, '../../target/writer-'));
    const file = path.join(writer.folder, 'data');
    const loop = `while :; do dd if=/dev/zero of=${file} bs=256k count=40 oflag=dsync status=none; sleep 0.7; done`;
    writer.child = spawn('/bin/sh', ['-c', loop], { stdio: 'ignore', detached: true });
    return writer;
  }

  async stop() {
    const gone = new Promise((resolve) => this.child.once('exit', resolve));
    process.kill(-this.child.pid, 'SIGKILL');
    await gone;
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** A cgroup with a presentable name, if one can be created. */
class Slice {
  static async make(name) {
    const slice = new Slice();
    const root = ['/sys/fs/cgroup', '/sys/fs/cgroup/memory'].find((one) =>
      existsSync(path.join(one, 'cgroup.procs')),
    );
    slice.name = name;
    slice.folder = path.join(root ?? '/nonexistent', name);
    slice.made = await mkdir(slice.folder).then(
      () => true,
      () => false,
    );
    return slice;
  }

  async add({ pid }) {
    if (this.made) await writeFile(path.join(this.folder, 'cgroup.procs'), String(pid));
  }

  async stop() {
    if (this.made) await rmdir(this.folder);
  }
}

const at = (ms) => new Date(Math.round(ms / 1000) * 1000).toISOString();

const server = await Server.start();
const browser = await Browser.launch();
const load = [];
const slice = await Slice.make('media.slice');
try {
  const session = await server.login();
  await sleep(PHASE_MS);
  const loaded = Date.now();
  load.push(await NamedHog.start('encode'), await NamedHog.start('compress'));
  for (const hog of load) await slice.add(hog);
  load.push(await Writer.start());
  await sleep(PHASE_MS);

  const ranges = { from: at(loaded + 5000), to: at(Date.now() - 5000) };
  ranges.earlier = `${(Date.parse(ranges.to) - Date.parse(ranges.from) + 10_000) / 1000}s`;
  const compared = (query) => `/history?${new URLSearchParams({ ...query, ...ranges })}`;
  const cpu = { p: 'cpu:usage_percent,context_switches_per_sec' };
  const range = new URLSearchParams({ from: ranges.from, to: ranges.to });
  const pages = [
    { name: 'dashboard', address: '/?range=5m', ready: '#cpu canvas', height: 1010 },
    { name: 'who', address: `/who?${range}`, ready: '[role=table] [role=row] a', height: 820 },
    {
      name: 'service',
      address: `/who/cgroup/${slice.name}?${range}`,
      ready: '[role=img] canvas',
      height: 1010,
    },
    {
      name: 'compare',
      address: compared({ mode: 'compare', ...cpu }),
      ready: '[role=img] canvas',
      height: 880,
    },
    {
      name: 'changes',
      address: compared({ mode: 'changes' }),
      ready: '[aria-label="What changed"] li',
      height: 820,
    },
    { name: 'settings', address: '/settings', ready: '#sources tbody tr', height: 1010 },
  ];
  for (const { name, address, ready, height } of pages) {
    const page = await browser.page({ server, session, width: 1440, height, reducedMotion: 'reduce' });
    await page.goto(address);
    await page.locator(ready).first().waitFor();
    // Charts of the whole page, and the first answers of the API.
    await page.waitForFunction(() => document.querySelector('.skeleton') === null);
    if (name === 'changes') await page.locator(ready).first().getByRole('button').click();
    if (name === 'changes') await page.locator('figure').first().waitFor();
    const file = path.join(out, `${name}.png`);
    await page.screenshot({ path: file });
    await page.close();
    const { size } = await stat(file);
    console.log(`${file}: ${Math.round(size / 1000)} kB`);
    if (size > MAX_BYTES) process.exitCode = 1;
  }
} finally {
  await Promise.all(load.map((one) => one.stop()));
  await slice.stop();
  await browser.close();
  await server.stop();
}
