/**
 * The rows of “Who”: a process, all processes of a name, or a cgroup, with the same amounts now and over any range.
 * Pure, and fast enough for 10,000 processes a tick.
 */
import type { Group, ListedProcess, Num, ProcessList, ProcessRanking, RankedRow } from '@/api/types';
import { plain, titleOf } from './group';

export type Kind = 'process' | 'name' | 'cgroup';

export const amounts = [
  'cpu_percent',
  'rss_bytes',
  'read_bytes_per_sec',
  'write_bytes_per_sec',
  'runqueue_wait_ms_per_sec',
  'context_switches_per_sec',
  'minor_faults_per_sec',
  'major_faults_per_sec',
  'processes',
  'ipc',
  'llc_mpki',
  'branch_mpki',
  'dtlb_mpki',
] as const;
export type Amount = (typeof amounts)[number];
export type Used = Partial<Record<Amount, Num>>;

/** Ratios of parts say nothing about the whole. */
const summed = amounts.slice(0, 9);

/** What was used over a range, in all. */
export type Sums = Pick<
  RankedRow,
  'cpu_seconds' | 'runqueue_wait_seconds' | 'read_bytes' | 'write_bytes' | 'exits'
>;

export interface WhoRow {
  /** Unique in its list, and the same in lists of other times. */
  key: string;
  kind: Kind;
  /** As the kernel has it; the path of a cgroup. */
  id: string;
  /** Fit to be shown. */
  name: string;
  pid: number | null;
  parent: number | null;
  command: string | null;
  executable: string | null;
  user: string | null;
  /** The path; null if it is not known, or not the same for all of them. */
  cgroup: string | null;
  group: Group | null;
  started: string | null;
  exited: boolean;
  used: Used;
  /** Largest values of a single snapshot, over a range. */
  peak: Used | null;
  sums: Sums | null;
  /** CPU over the range in steps of equal length; null where nothing was measured, or if it is not known at all. */
  course: readonly Num[] | null;
  seen: { from: number; to: number } | null;
}

/** What a command line says beyond the name: `/usr/bin/python3 -m http.server` of `python3` is `-m http.server`. */
export function argumentsOf(command: string, name: string): string {
  const [, program = '', rest = ''] = /^(\S*)\s*(.*)$/s.exec(command) ?? [];
  // The kernel cuts names off.
  const isName = program.slice(program.lastIndexOf('/') + 1).startsWith(name);
  return isName ? rest : command;
}

function keyOf(kind: Kind, pid: number | null, name: string | null, cgroup: string | null): string {
  if (kind === 'cgroup') return cgroup ?? '';
  return kind === 'name' ? (name ?? '') : `${(pid ?? 0).toString()} ${name ?? ''} ${cgroup ?? ''}`;
}

const nothing = {
  pid: null,
  parent: null,
  command: null,
  executable: null,
  user: null,
  cgroup: null,
  group: null,
  started: null,
  exited: false,
  peak: null,
  sums: null,
  course: null,
  seen: null,
};

/** A process of the newest tick. */
export function rowOfProcess(one: ListedProcess): WhoRow {
  const name = plain(one.comm);
  const cgroup = one.cgroup ?? null;
  return {
    ...nothing,
    key: keyOf('process', one.pid, one.comm, cgroup),
    kind: 'process',
    id: one.comm,
    name,
    pid: one.pid,
    parent: one.parent_pid ?? null,
    command: one.command ?? null,
    executable: one.executable ?? null,
    user: one.user ?? null,
    cgroup,
    group: one.group ?? null,
    started: one.started ?? null,
    exited: one.exited ?? false,
    used: one,
  };
}

/** Amounts of several rows together: null if none of them has the amount. */
export function addUp(rows: Iterable<{ used: Used }>): Used {
  const sum: Used = {};
  for (const { used } of rows) {
    for (const amount of summed) {
      const value = used[amount];
      if (typeof value === 'number') sum[amount] = (sum[amount] ?? 0) + value;
    }
  }
  return sum;
}

function gathered(rows: readonly WhoRow[], keyed: (row: WhoRow) => string | null): Map<string, WhoRow[]> {
  const found = new Map<string, WhoRow[]>();
  for (const row of rows) {
    const key = keyed(row);
    if (key === null) continue;
    const some = found.get(key);
    if (some === undefined) found.set(key, [row]);
    else some.push(row);
  }
  return found;
}

/** The same for all, or null. */
function shared<T>(rows: readonly WhoRow[], of: (row: WhoRow) => T): T | null {
  const [first] = rows;
  if (first === undefined) return null;
  return rows.every((row) => of(row) === of(first)) ? of(first) : null;
}

/** Processes of the newest tick as rows of this kind. */
export function liveRows(processes: readonly ListedProcess[], kind: Kind): WhoRow[] {
  const rows = processes.map(rowOfProcess);
  if (kind === 'process') return rows;
  const found = gathered(rows, kind === 'name' ? (row) => row.id : (row) => row.cgroup);
  return [...found].map(([key, members]): WhoRow => {
    const used = { ...addUp(members), processes: members.length };
    const [first] = members;
    const common = { ...nothing, key, kind, id: key, used };
    if (kind === 'cgroup') {
      const group = first?.group ?? null;
      return { ...common, name: titleOf(key, group).name, cgroup: key, group };
    }
    const cgroup = shared(members, (row) => row.cgroup);
    return {
      ...common,
      name: first?.name ?? key,
      command: shared(members, (row) => row.command),
      user: shared(members, (row) => row.user),
      cgroup,
      group: cgroup === null ? null : (first?.group ?? null),
    };
  });
}

function rankedRow(row: RankedRow, kind: Kind): WhoRow {
  const cgroup = row.cgroup ?? null;
  const id = kind === 'cgroup' ? (cgroup ?? '') : (row.name ?? '');
  const group = row.group ?? null;
  const name = kind === 'cgroup' ? titleOf(id, group).name : plain(id);
  return {
    key: keyOf(kind, row.pid ?? null, row.name ?? null, cgroup),
    kind,
    id,
    name,
    pid: row.pid ?? null,
    parent: row.parent_pid ?? null,
    command: row.command ?? null,
    executable: row.executable ?? null,
    user: row.user ?? null,
    cgroup,
    group,
    started: row.started ?? null,
    exited: false,
    used: row.data,
    peak: row.max,
    sums: row,
    course: row.course,
    seen: { from: Date.parse(row.first_seen), to: Date.parse(row.last_seen) },
  };
}

export function rankedRows(ranking: ProcessRanking): WhoRow[] {
  const { by } = ranking;
  return ranking.rows.map((row) => rankedRow(row, by === 'process' || by === 'name' ? by : 'cgroup'));
}

/** The newest tick's rows with their course over the window, as far as the ranking has it. */
export function withCourses(rows: readonly WhoRow[], ranked: readonly WhoRow[]): WhoRow[] {
  const known = new Map(ranked.map((row) => [row.key, row]));
  return rows.map((row) => {
    const course = known.get(row.key)?.course;
    return course === null || course === undefined ? row : { ...row, course };
  });
}

/** What all processes of the newest tick used; memory is of those listed. */
export function liveTotal(list: ProcessList): Used {
  const sums = addUp(list.processes.map((used) => ({ used })));
  return { ...sums, ...list.total, processes: list.count };
}

/** Whether there is anything to say about what has no row. */
export function isWorthARow(used: Used): boolean {
  return summed.some((amount) => amount !== 'processes' && (used[amount] ?? 0) > 0);
}

/** How many processes are hidden, and why; empty if none is, or if it is not known. */
export function hiddenText(hidden: number | null | undefined): string {
  if (!hidden) return '';
  return `${hidden.toLocaleString('en')} ${hidden === 1 ? 'process' : 'processes'} hidden by hidepid`;
}
