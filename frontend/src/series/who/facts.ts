/** What a page of one process, name or cgroup says in figures. Pure. */
import type { Num, ProcessPoints, ProcessRanking, ProcessUse } from '@/api/types';
import type { Episode } from '@/series/events';
import { format, type Unit } from '@/format/units';
import type { WhoRow } from './rows';

export interface Figure {
  label: string;
  /** On average, or in all. */
  value: string;
  /** `peak 97 %`; empty if it is not known. */
  detail: string;
}

function peakOf(points: ProcessPoints | null, key: keyof ProcessUse): Num {
  let peak: Num = null;
  for (const { max } of points?.data_points ?? []) {
    const value = max?.[key];
    if (typeof value === 'number' && (peak === null || value > peak)) peak = value;
  }
  return peak;
}

/** Averages, peaks and sums of the range; what is not measured on this machine is left out. */
export function figures(ranking: ProcessRanking, points: ProcessPoints | null): Figure[] {
  const { total } = ranking;
  const rate = (label: string, key: keyof ProcessUse, unit: Unit, sum?: string): Figure => {
    const peak = peakOf(points, key);
    const parts = [
      typeof peak === 'number' ? `peak ${format(peak, unit)}` : '',
      sum === undefined ? '' : `${sum} in all`,
    ];
    return {
      label,
      value: typeof total.data[key] === 'number' ? format(total.data[key], unit) : '',
      detail: parts.filter((part) => part !== '').join(', '),
    };
  };
  const time = (seconds: Num): string | undefined =>
    typeof seconds === 'number' ? cpuTime(seconds) : undefined;
  const bytes = (count: Num): string | undefined =>
    typeof count === 'number' ? format(count, 'bytes') : undefined;
  return [
    rate('CPU', 'cpu_percent', 'percent', time(total.cpu_seconds)),
    rate('Memory', 'rss_bytes', 'bytes'),
    rate('Read', 'read_bytes_per_sec', 'bytes/s', bytes(total.read_bytes)),
    rate('Written', 'write_bytes_per_sec', 'bytes/s', bytes(total.write_bytes)),
    rate('Run queue wait', 'runqueue_wait_ms_per_sec', 'ms/s', time(total.runqueue_wait_seconds)),
    rate('Context switches', 'context_switches_per_sec', 'count/s'),
    rate('Page faults', 'minor_faults_per_sec', 'count/s'),
    rate('IPC', 'ipc', 'none'),
  ].filter(({ value }) => value !== '');
}

/** CPU time, from milliseconds to days. */
export function cpuTime(seconds: number): string {
  return seconds < 60 ? format(seconds * 1e3, 'ms') : format(seconds, 'seconds');
}

const MAX_STARTS = 100;

/** Processes that were started in the range, as events. */
export function starts(rows: readonly WhoRow[], span: { from: number; to: number }): Episode[] {
  return rows
    .flatMap((row): Episode[] => {
      const at = Date.parse(row.started ?? '');
      if (row.pid === null || !(at >= span.from && at <= span.to)) return [];
      const subject = `${row.name} (${row.pid.toString()})`;
      return [
        {
          key: `process_started ${subject}`,
          kind: 'process_started',
          tone: 'plain',
          title: 'Started',
          subject,
          from: at,
          to: at,
          count: 1,
          throttledMs: 0,
          pid: row.pid,
          comm: row.id,
          cgroup: row.cgroup,
        },
      ];
    })
    .sort((a, b) => b.from - a.from)
    .slice(0, MAX_STARTS);
}

const isWithin = (path: string | null, cgroup: string): boolean =>
  path !== null && (path === cgroup || cgroup === '/' || path.startsWith(`${cgroup}/`));

/** Events of these processes, and those of the whole machine that everyone notices. */
export function eventsOf(
  episodes: readonly Episode[],
  whose: { pid?: number; name?: string; cgroup?: string },
): Episode[] {
  return episodes.filter((one) => {
    if (one.kind === 'machine_started' || one.kind === 'perfwatch_started') return true;
    if (whose.cgroup !== undefined) return isWithin(one.cgroup, whose.cgroup);
    if (whose.pid !== undefined) return one.pid === whose.pid;
    return whose.name !== undefined && one.comm === whose.name;
  });
}
