/** What the document `cgroups` says of one group over time: its limits, throttling, memory, pressure and events. Pure. */
import type { DataPoint, Group } from '@/api/types';
import { format } from '@/format/units';
import type { Episode } from '@/series/events';

type Row = Record<string, unknown>;

export interface GroupPoint {
  time: number;
  /** Averages of the point. */
  row: Row;
  max: Row;
  /** Milliseconds between readings. */
  elapsed: number;
}

/** The query's field that has everything of a group; null if its path can't be named in a list of fields. */
export const fieldOf = (path: string): string | null => (path.includes(',') ? null : `groups.${path}`);

function rowOf(document: unknown, path: string): Row | null {
  const { groups } = (document ?? {}) as { groups?: unknown };
  if (!Array.isArray(groups)) return null;
  // The field of `/a` also names those of `/a.service`.
  return (groups as Row[]).find(({ cgroup }) => cgroup === path) ?? null;
}

export function groupPoints(points: readonly DataPoint[], path: string): GroupPoint[] {
  return points.flatMap((point) => {
    const row = rowOf(point.data, path);
    if (row === null) return [];
    const elapsed = (point.data as { elapsed_ms?: unknown }).elapsed_ms;
    return [
      {
        time: Date.parse(point.timestamp),
        row,
        max: rowOf(point.max, path) ?? row,
        elapsed: typeof elapsed === 'number' ? elapsed : NaN,
      },
    ];
  });
}

/** What it was called last; null if that was not recorded. */
export function groupOf(points: readonly GroupPoint[]): Group | null {
  const { kind, name, image } = points.at(-1)?.row ?? {};
  if (typeof kind !== 'string' || typeof name !== 'string') return null;
  return { kind, name, image: typeof image === 'string' ? image : null };
}

/** `name` may lead into a part of the row, as in `runqueue_wait.p99_us`. */
export function numberOf(row: Row, name: string): number {
  const value = name
    .split('.')
    .reduce<unknown>((part, step) => (part as Row | null | undefined)?.[step], row);
  return typeof value === 'number' ? value : NaN;
}

/** Milliseconds a second; throttled time is counted by interval. */
export const throttledRate = (row: Row, elapsed: number): number =>
  (numberOf(row, 'throttled_ms') / elapsed) * 1000;

/** Its limits, as they were last; empty without any. */
export function limitsOf(points: readonly GroupPoint[]): string {
  const row = points.at(-1)?.row ?? {};
  const parts: string[] = [];
  const add = (name: string, text: (value: number) => string): void => {
    const value = numberOf(row, name);
    if (!Number.isNaN(value)) parts.push(text(value));
  };
  add('cpu_limit', (value) => `${format(value, 'none')} ${value === 1 ? 'CPU' : 'CPUs'}`);
  add('memory_limit_bytes', (value) => `${format(value, 'bytes')} of memory`);
  add('memory_high_bytes', (value) => `slowed down above ${format(value, 'bytes')}`);
  add('swap_limit_bytes', (value) => `${format(value, 'bytes')} of swap`);
  add('tasks_limit', (value) => `${format(value, 'count')} tasks`);
  return parts.join(', ');
}

const kinds = [
  { name: 'oom_kills', kind: 'oom_kill', tone: 'bad', title: 'Killed by the OOM killer' },
  { name: 'memory_max_events', kind: 'memory_limit', tone: 'warn', title: 'Hit its memory limit' },
  { name: 'throttled_periods', kind: 'cgroup_throttled', tone: 'warn', title: 'Throttled by its CPU quota' },
] as const;

/** Runs of points with the same events; `width` is that of a point. */
export function groupEpisodes(points: readonly GroupPoint[], path: string, width: number): Episode[] {
  return kinds.flatMap(({ name, kind, tone, title }): Episode[] => {
    const found: Episode[] = [];
    for (const { time, row, max, elapsed } of points) {
      if (!(numberOf(max, name) > 0)) continue;
      const readings = Math.max(1, Math.round(width / elapsed) || 1);
      const count = Math.max(1, Math.round(numberOf(row, name) * readings));
      const throttledMs = kind === 'cgroup_throttled' ? numberOf(row, 'throttled_ms') * readings || 0 : 0;
      const last = found.at(-1);
      if (last !== undefined && time - last.to <= 2.5 * width) {
        last.to = time;
        last.count += count;
        last.throttledMs += throttledMs;
        continue;
      }
      const place = { pid: null, comm: null, cgroup: path };
      found.push({
        key: `${kind} ${path}`,
        kind,
        tone,
        title,
        subject: '',
        from: time,
        to: time,
        count,
        throttledMs,
        ...place,
      });
    }
    return found;
  });
}
