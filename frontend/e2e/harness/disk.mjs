/** Causes disk requests, and knows their latencies as the server has them. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';

/** Writes through to the disk until stopped. */
export class DiskWriter {
  #child;
  #folder;

  static async start() {
    const writer = new DiskWriter();
    // Not in /tmp, which may be memory.
    writer.#folder = await mkdtemp(path.resolve(import.meta.dirname, '../../../target/writer-'));
    const file = path.join(writer.#folder, 'data');
    const loop = `while :; do dd if=/dev/zero of=${file} bs=16k count=8 oflag=dsync status=none; sleep 0.3; done`;
    writer.#child = spawn('/bin/sh', ['-c', loop], { stdio: 'ignore', detached: true });
    return writer;
  }

  async stop() {
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    process.kill(-this.#child.pid, 'SIGKILL');
    await gone;
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** The smallest value of a bucket: sixteenths of a power of two. */
const low = (bucket) => (bucket < 32 ? bucket : (16 + (bucket & 15)) * 2 ** ((bucket >> 4) - 1));

/** The 99th percentile of a histogram in nanoseconds, between the ends of its bucket. */
export function p99({ buckets, count }) {
  let seen = 0;
  for (const [bucket, events] of buckets) {
    seen += events;
    if (seen >= count * 0.99) return [low(bucket), low(bucket + 1)];
  }
  throw new Error('an empty histogram');
}

const units = { ns: 1, µs: 1e3, ms: 1e6, s: 1e9 };

/** `1.23 ms` in nanoseconds. */
export function nanoseconds(text) {
  const [, value, unit] = /^([\d.]+) (ns|µs|ms|s)$/.exec(text) ?? [];
  return Number(value) * units[unit];
}
