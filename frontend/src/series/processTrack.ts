/** Recent usage of each listed process, in typed arrays so that an hour stays small. */
import type { Num, ProcessRow } from '@/api/types';
import type { Slice } from './ring';

export const tracked = [
  'cpu_percent',
  'runqueue_wait_ms_per_sec',
  'rss_bytes',
  'read_bytes_per_sec',
  'write_bytes_per_sec',
  'ipc',
] as const satisfies readonly (keyof ProcessRow)[];
export type Tracked = (typeof tracked)[number];

/** Rows kept per tick, busiest first: thousands would exhaust memory within an hour. */
const MAX_ROWS = 100;

interface Tick {
  time: number;
  pids: Int32Array;
  /** `tracked.length` numbers per process. */
  values: Float64Array;
}

const finite = (value: Num): number => (typeof value === 'number' ? value : NaN);

export class ProcessTrack {
  private ticks: Tick[] = [];

  constructor(private readonly capacity: number) {}

  push(time: number, listed: readonly ProcessRow[]): void {
    const rows = listed.slice(0, MAX_ROWS);
    const values = new Float64Array(rows.length * tracked.length);
    rows.forEach((row, i) => {
      tracked.forEach((key, k) => (values[i * tracked.length + k] = finite(row[key])));
    });
    this.ticks.push({ time, pids: Int32Array.from(rows, (row) => row.pid), values });
    // Dropping in chunks keeps the cost per tick constant.
    if (this.ticks.length > this.capacity + 256) this.ticks = this.ticks.slice(256);
  }

  /** Drops the ticks from `time` on. */
  rewind(time: number): void {
    while ((this.ticks.at(-1)?.time ?? -Infinity) >= time) this.ticks.pop();
  }

  clear(): void {
    this.ticks = [];
  }

  /** One process from `from` to `to`; NaN at ticks that do not list it. */
  slice(pid: number, key: Tracked, from: number, to: number): Slice {
    const column = tracked.indexOf(key);
    const inside = this.ticks.filter((tick) => tick.time >= from && tick.time <= to);
    return {
      times: Float64Array.from(inside, (tick) => tick.time),
      values: Float64Array.from(inside, (tick) => {
        const index = tick.pids.indexOf(pid);
        return index < 0 ? NaN : (tick.values[index * tracked.length + column] ?? NaN);
      }),
    };
  }
}
