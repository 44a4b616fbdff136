/** How the machines of a fleet are: states and levels, rows to sort, search and group. */
import type { FleetCourses, FleetHost, KnownHost, Measures } from '@/api/types';
import { duration, format, type Unit } from '@/format/units';
import { plain } from './who/group';

export type MeasureKey = keyof Measures;

export interface Measure {
  key: MeasureKey;
  label: string;
  title: string;
  unit: Unit;
  /** Name of a CSS variable. */
  colour: string;
  /** From where on it is high, and critical; without limits it is neither. */
  limits: readonly [high: number, critical: number] | null;
}

/** In the order of the columns. Limits are of what a machine does over minutes, and may do for a while. */
export const measures: readonly Measure[] = [
  {
    key: 'cpu_percent',
    label: 'CPU',
    title: 'CPU usage',
    unit: 'percent',
    colour: 'blue',
    limits: [85, 97],
  },
  {
    key: 'memory_percent',
    label: 'Memory',
    title: 'Used memory',
    unit: 'percent',
    colour: 'purple',
    limits: [85, 95],
  },
  {
    key: 'pressure_percent',
    label: 'Pressure',
    title: 'Time that tasks waited for CPU, memory or I/O: the worst of the three',
    unit: 'percent',
    colour: 'red',
    limits: [25, 60],
  },
  {
    key: 'disk_percent',
    label: 'Disk busy',
    title: 'Utilization of the busiest disk',
    unit: 'percent',
    colour: 'amber',
    limits: [80, 95],
  },
  {
    key: 'filesystem_percent',
    label: 'File system',
    title: 'Usage of the fullest file system',
    unit: 'percent',
    colour: 'cyan',
    limits: [85, 95],
  },
  {
    key: 'network_bytes_per_sec',
    label: 'Network',
    title: 'Sent and received',
    unit: 'bytes/s',
    colour: 'green',
    limits: null,
  },
];

export const levels = ['critical', 'high', 'ok', 'unknown', 'silent'] as const;
export type Level = (typeof levels)[number];

export const levelTexts: Record<Level, string> = {
  critical: 'Critical',
  high: 'High',
  ok: 'OK',
  unknown: 'No data',
  silent: 'Silent',
};

/** A clock that is off by less is not worth mentioning; a message takes a moment. */
const SKEW_SECONDS = 5;

const stateTexts: Record<string, string> = {
  live: 'Live',
  silent: 'Silent',
  joining: 'Joining',
  copied: 'Copied ID',
  outdated: 'Outdated',
};

export interface State {
  text: string;
  tone: 'good' | 'warn' | 'bad' | 'idle';
}

/** A host's state in words; one that is not known here is said as the server names it. */
export function stateOf({
  state,
  clock_skew_seconds: skew,
}: Pick<FleetHost, 'state' | 'clock_skew_seconds'>): State {
  const text = stateTexts[state] ?? `${state.charAt(0).toUpperCase()}${state.slice(1).replaceAll('_', ' ')}`;
  if (state === 'silent') return { text, tone: 'bad' };
  if (state !== 'live') return { text, tone: state === 'joining' ? 'idle' : 'warn' };
  if (typeof skew === 'number' && Math.abs(skew) >= SKEW_SECONDS) {
    const by = duration(Math.abs(skew));
    return { text: `Clock ${by} ${skew > 0 ? 'ahead' : 'behind'}`, tone: 'warn' };
  }
  return { text, tone: 'good' };
}

export interface HostRow {
  id: string;
  name: string;
  state: State;
  labels: Record<string, string>;
  measures: Measures;
  courses: FleetCourses;
  level: Level;
  /** How bad its worst measure is: 0 to 1; 0.6 is high, 0.85 critical. */
  score: number;
  worst: Measure | null;
}

/** Where high and critical are on the scale of all measures. */
const HIGH = 0.6;
const CRITICAL = 0.85;

/** A value on that scale; null for a measure without limits. */
export function scoreOf({ limits }: Pick<Measure, 'limits'>, value: number): number | null {
  if (limits === null) return null;
  const [high, critical] = limits;
  if (value < high) return (value / high) * HIGH;
  if (value < critical) return HIGH + ((value - high) / (critical - high)) * (CRITICAL - HIGH);
  return Math.min(1, CRITICAL + ((value - critical) / Math.max(1, 100 - critical)) * (1 - CRITICAL));
}

function worstOf(values: Measures): { worst: Measure | null; score: number } {
  let found: { worst: Measure | null; score: number } = { worst: null, score: 0 };
  for (const measure of measures) {
    const value = values[measure.key];
    const score = typeof value === 'number' ? scoreOf(measure, value) : null;
    if (score !== null && (found.worst === null || score > found.score)) found = { worst: measure, score };
  }
  return found;
}

export function rowOf(host: FleetHost, courses: FleetCourses = {}, known?: KnownHost): HostRow {
  const { worst, score } = worstOf(host.measures);
  let level: Level = score >= CRITICAL ? 'critical' : score >= HIGH ? 'high' : 'ok';
  if (worst === null) level = 'unknown';
  if (host.state === 'silent') level = 'silent';
  return {
    id: host.id,
    name: plain(host.name),
    state: stateOf(host),
    labels: known?.labels ?? {},
    measures: host.measures,
    courses,
    level,
    score,
    worst,
  };
}

/** What a host's cell says: `web1: high, file system 91 %`. */
export function cellText({ name, level, worst, measures: values, state }: HostRow): string {
  const parts = [level === 'silent' ? state.text : levelTexts[level]];
  if (worst !== null) parts.push(`${worst.label} ${format(values[worst.key] ?? NaN, worst.unit)}`);
  return `${name}: ${parts.join(', ')}`;
}

export type SortKey = 'name' | 'worst' | MeasureKey;

export interface Listing {
  search: string;
  sort: SortKey;
  descending: boolean;
  /** The label that rows are grouped by. */
  group: string | null;
  /** Only these, if any. */
  level: Level | null;
}

const collator = new Intl.Collator('en', { numeric: true });

/** Worst first: what is silent may be down, but only what is critical surely is; what is not measured comes last. */
function worstRank({ level, score }: HostRow): number {
  if (level === 'silent') return CRITICAL;
  return level === 'unknown' ? -1 : score;
}

function compare(a: HostRow, b: HostRow, sort: SortKey, descending: boolean): number {
  const sign = descending ? -1 : 1;
  const byName = (): number => collator.compare(a.name, b.name) || collator.compare(a.id, b.id);
  if (sort === 'name') return sign * byName();
  if (sort === 'worst') return sign * (worstRank(a) - worstRank(b)) || byName();
  const [one, other] = [a.measures[sort], b.measures[sort]];
  // What has no value is at the end either way.
  if (typeof one !== 'number' || typeof other !== 'number')
    return Number(typeof one !== 'number') - Number(typeof other !== 'number') || byName();
  return sign * (one - other) || byName();
}

const isFound = (row: HostRow, words: readonly string[]): boolean => {
  const labels = Object.entries(row.labels).map(([key, value]) => `${key}:${value} ${key}=${value}`);
  const text = [row.name, row.id, row.state.text, ...labels].join(' ').toLowerCase();
  return words.every((word) => text.includes(word));
};

/** A heading, or a host. */
export type Line = { kind: 'group'; title: string; count: number } | { kind: 'host'; row: HostRow };

/** The rows that are wanted, in order, grouped by the values of a label. */
export function groupsOf(
  rows: readonly HostRow[],
  { search, sort, descending, group, level }: Listing,
): { title: string | null; rows: HostRow[] }[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const found = rows.filter((row) => (level === null || row.level === level) && isFound(row, words));
  found.sort((a, b) => compare(a, b, sort, descending));
  if (group === null) return [{ title: null, rows: found }];
  const groups = new Map<string, HostRow[]>();
  for (const row of found) {
    const value = row.labels[group] ?? '';
    const members = groups.get(value);
    if (members === undefined) groups.set(value, [row]);
    else members.push(row);
  }
  const names = [...groups.keys()].sort(
    (a, b) => Number(a === '') - Number(b === '') || collator.compare(a, b),
  );
  return names.map((name) => ({
    title: name === '' ? `without ${group}` : `${group}: ${plain(name)}`,
    rows: groups.get(name) ?? [],
  }));
}

export function linesOf(groups: readonly { title: string | null; rows: readonly HostRow[] }[]): Line[] {
  return groups.flatMap(({ title, rows }): Line[] => [
    ...(title === null ? [] : [{ kind: 'group' as const, title, count: rows.length }]),
    ...rows.map((row) => ({ kind: 'host' as const, row })),
  ]);
}

/** The labels that any host has. */
export function labelsOf(rows: readonly HostRow[]): string[] {
  return [...new Set(rows.flatMap(({ labels }) => Object.keys(labels)))].sort(collator.compare);
}

export function countsOf(rows: readonly HostRow[]): { level: Level; count: number }[] {
  return levels
    .map((level) => ({ level, count: rows.filter((row) => row.level === level).length }))
    .filter(({ count }) => count > 0);
}

/** As a search finds it. */
export function describeHost(
  host: FleetHost,
  labels: Record<string, string> | null | undefined,
): { title: string; detail: string } {
  const told = Object.entries(labels ?? {}).map(([key, value]) => `${key}: ${plain(value)}`);
  const id = host.name.includes(host.id) ? [] : [host.id];
  return { title: plain(host.name), detail: [stateOf(host).text, ...told, ...id].join(' · ') };
}
