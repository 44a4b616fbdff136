/** The process table's rows: filtered, sorted, grouped. Pure, and fast enough for 10,000 rows per tick. */
import type { CgroupRow, Num, ProcessRow, Usage } from '@/api/types';

export type SortKey = 'pid' | 'comm' | 'user' | 'cgroup' | 'threads' | 'rss_bytes' | keyof Usage;

export interface TableView {
  search: string;
  sort: SortKey;
  descending: boolean;
  grouped: boolean;
  /** Collapsed cgroups. */
  closed: ReadonlySet<string>;
}

export interface GroupLine {
  kind: 'group';
  name: string;
  open: boolean;
  processes: Num;
  usage: Usage & { rss_bytes?: number | null };
}

export type Line = { kind: 'process'; row: ProcessRow; inGroup: boolean } | GroupLine;

const texts = new Set<SortKey>(['comm', 'user', 'cgroup']);

/** Absent values sort last in either direction. */
export function compareBy(key: SortKey, descending: boolean) {
  const sign = descending ? -1 : 1;
  if (texts.has(key)) {
    const textOf = (row: ProcessRow) => (row[key] as string | null | undefined) ?? '';
    return (a: ProcessRow, b: ProcessRow): number => {
      const [x, y] = [textOf(a), textOf(b)];
      if (x === y) return a.pid - b.pid;
      if (x === '' || y === '') return x === '' ? 1 : -1;
      return x < y ? -sign : sign;
    };
  }
  const numberOf = (row: ProcessRow) => row[key as keyof Usage];
  return (a: ProcessRow, b: ProcessRow): number => {
    const [x, y] = [numberOf(a), numberOf(b)];
    if (typeof x !== 'number' || typeof y !== 'number') {
      if (typeof x === 'number') return -1;
      return typeof y === 'number' ? 1 : a.pid - b.pid;
    }
    return x === y ? a.pid - b.pid : sign * (x - y);
  };
}

function matches(row: ProcessRow, words: readonly string[]): boolean {
  const text = `${row.pid.toString()} ${row.comm} ${row.user ?? ''} ${row.cgroup ?? ''}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

export const NO_CGROUP = 'no cgroup';

const summed = [
  'cpu_percent',
  'runqueue_wait_ms_per_sec',
  'context_switches_per_sec',
  'read_bytes_per_sec',
  'write_bytes_per_sec',
  'rss_bytes',
] as const;

/** Sums of the listed processes; ratios cannot be summed and stay absent. */
function sum(rows: readonly ProcessRow[]): GroupLine['usage'] {
  const usage: GroupLine['usage'] = {};
  for (const key of summed) {
    const numbers = rows.map((row) => row[key]).filter((value) => typeof value === 'number');
    usage[key] = numbers.length > 0 ? numbers.reduce((total, value) => total + value, 0) : null;
  }
  return usage;
}

export function tableLines(
  rows: readonly ProcessRow[],
  cgroups: readonly CgroupRow[],
  view: TableView,
): Line[] {
  const words = view.search
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '');
  const found = words.length === 0 ? [...rows] : rows.filter((row) => matches(row, words));
  const compare = compareBy(view.sort, view.descending);
  found.sort(compare);
  if (!view.grouped) return found.map((row) => ({ kind: 'process', row, inGroup: false }));

  const groups = new Map<string, ProcessRow[]>();
  for (const row of found) {
    const name = row.cgroup ?? NO_CGROUP;
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [row]);
    else group.push(row);
  }
  // The server's cgroup totals include processes that are not listed.
  const known = new Map(cgroups.map((one) => [one.cgroup ?? NO_CGROUP, one]));
  const headers = [...groups].map(([name, members]): [GroupLine, ProcessRow[]] => {
    const whole = words.length === 0 ? known.get(name) : undefined;
    const usage = { ...sum(members), ...whole };
    const open = !view.closed.has(name);
    return [{ kind: 'group', name, open, processes: whole?.processes ?? members.length, usage }, members];
  });
  const asRow = (line: GroupLine): ProcessRow => ({
    pid: 0,
    comm: line.name,
    cgroup: line.name,
    ...line.usage,
  });
  headers.sort(([a], [b]) => compare(asRow(a), asRow(b)) || (a.name < b.name ? -1 : 1));
  return headers.flatMap(([line, members]): Line[] =>
    line.open ? [line, ...members.map((row): Line => ({ kind: 'process', row, inGroup: true }))] : [line],
  );
}

/** How many processes are hidden, and why; empty if none is, or if it is not known. */
export function hiddenText(hidden: number | null | undefined): string {
  if (!hidden) return '';
  const verb = hidden === 1 ? 'is' : 'are';
  return `${hidden.toLocaleString('en')} more ${verb} hidden: /proc is mounted with hidepid`;
}
