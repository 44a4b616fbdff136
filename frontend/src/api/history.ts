import { http } from './http';
import type {
  Changes,
  ColumnsOfType,
  DataPoint,
  Explanation,
  History,
  MachineEvent,
  ProcessPoints,
  ProcessRanking,
} from './types';

export interface PointsQuery {
  metricType: string;
  /** Milliseconds since the epoch, both included. */
  from: number;
  to: number;
  /** Members of the document, such as `io.read_bytes`; all if empty. */
  fields: readonly string[];
  interval?: string;
  /** What to tell of each point besides averages; everything by default. */
  stats?: string;
  /** Of another machine of the fleet than the page is about. */
  host?: string | undefined;
}

const iso = (ms: number): string => new Date(ms).toISOString();

export async function points(query: PointsQuery, signal?: AbortSignal): Promise<History> {
  const params = {
    metric_type: query.metricType,
    start_time: iso(query.from),
    end_time: iso(query.to),
    interval: query.interval ?? 'auto',
    stats: query.stats ?? 'min,max,count',
    limit: 10_000,
    host: query.host,
    ...(query.fields.length > 0 ? { fields: query.fields.join(',') } : {}),
  };
  return (await http.get<History>('/api/history/metrics', { params, ...(signal ? { signal } : {}) })).data;
}

export interface ColumnsQuery {
  /** Milliseconds since the epoch, both included. */
  from: number;
  to: number;
  /** Metric types and paths, such as `cpu.usage_percent`. */
  fields: readonly string[];
  /** The same, of which extremes are not wanted. */
  averages?: readonly string[];
  interval: string;
  /** Metric types of which the whole range is wanted as one point, too. */
  whole?: readonly string[];
}

/** Fields of several metric types: `each` is called with those of one type as soon as they come. */
export async function columns(
  query: ColumnsQuery,
  each: (columns: ColumnsOfType) => void,
  signal: AbortSignal,
): Promise<void> {
  const { fields, averages = [], whole = [] } = query;
  const list = (name: string, of: readonly string[]) => (of.length > 0 ? { [name]: of.join(',') } : {});
  const params = {
    ...list('fields', fields),
    ...list('averages', averages),
    ...list('whole', whole),
    start_time: iso(query.from),
    end_time: iso(query.to),
    interval: query.interval,
    stats: 'min,max,count',
    limit: 10_000,
  };
  await http.lines('/api/history/columns', { params, signal }, each);
}

export async function metricTypes(): Promise<string[]> {
  return (await http.get<{ metric_types: string[] }>('/api/history/metrics/types')).data.metric_types;
}

/** The newest complete document of a type in a range, to find its fields. */
export async function sample(metricType: string, from: number, to: number): Promise<DataPoint | null> {
  const params = {
    metric_type: metricType,
    start_time: iso(from),
    end_time: iso(to),
    interval: '1d',
    limit: 1000,
  };
  return (await http.get<History>('/api/history/metrics', { params })).data.data_points.at(-1) ?? null;
}

export interface Span {
  from: number;
  to: number;
}

/** What a range is compared with: another range of the same length, or the same one of another machine. */
export interface Compared extends Span {
  host?: string | undefined;
}

/** All series of all types, ranked by how much their distribution changed between two ranges of equal length. */
export async function changes(current: Span, comparison: Compared, signal: AbortSignal): Promise<Changes> {
  const params = {
    start_time_1: iso(current.from),
    end_time_1: iso(current.to),
    start_time_2: iso(comparison.from),
    end_time_2: iso(comparison.to),
    compare_host: comparison.host,
    limit: 100,
  };
  return (await http.get<Changes>('/api/history/changes', { params, signal })).data;
}

export interface ExplanationQuery extends Span {
  compareTo: string;
}

/** Maximum number of programs, and of changes of a subject. */
const MAX_EXPLAINED = 20;

/** Who, what and which events made a range unlike another. */
export async function explanation(
  { from, to, compareTo }: ExplanationQuery,
  signal: AbortSignal,
): Promise<Explanation> {
  const params = {
    start_time: iso(from),
    end_time: iso(to),
    compare_to: compareTo,
    limit: MAX_EXPLAINED,
  };
  return (await http.get<Explanation>('/api/history/explain', { params, signal })).data;
}

/** What people and scripts noted in a range. */
export async function noted({ from, to }: Span, signal: AbortSignal): Promise<MachineEvent[]> {
  const params = { start_time: iso(from), end_time: iso(to) };
  return (await http.get<{ events: MachineEvent[] }>('/api/events', { params, signal })).data.events;
}

/** Which processes: those that match all that is given. */
export interface Whose {
  pid?: number;
  name?: string;
  /** A path, with everything below it. */
  cgroup?: string;
}

export interface UsageQuery extends Span {
  whose: Whose;
  interval: string;
}

/** What they used together, over time. */
export async function usage(query: UsageQuery, signal: AbortSignal): Promise<ProcessPoints> {
  const { from, to, whose, interval } = query;
  const params = { ...whose, start_time: iso(from), end_time: iso(to), interval, limit: 10_000 };
  return (await http.get<ProcessPoints>('/api/history/processes', { params, signal })).data;
}

export interface RankingQuery extends Span {
  whose: Whose;
  by: 'process' | 'name' | 'cgroup';
  /** The amount that those with the most of are listed. */
  order: string;
  limit: number;
}

export async function ranking(query: RankingQuery, signal: AbortSignal): Promise<ProcessRanking> {
  const { from, to, whose, ...rest } = query;
  const params = { ...whose, ...rest, start_time: iso(from), end_time: iso(to) };
  return (await http.get<ProcessRanking>('/api/history/processes', { params, signal })).data;
}

/** One metric type over a range, as a file. */
export async function exportFile(
  metricType: string,
  from: number,
  to: number,
  format: 'csv' | 'ndjson',
): Promise<Blob> {
  const params = {
    metric_type: metricType,
    start_time: iso(from),
    end_time: iso(to),
    interval: '1s',
    format,
  };
  return (await http.get<Blob>('/api/history/export', { params, responseType: 'blob', timeout: 0 })).data;
}
