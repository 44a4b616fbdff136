/** Series from the points of a history response, and their statistics. */
import type { DataPoint } from '@/api/types';
import { isCountOfInterval, scaleOf } from '@/format/fields';
import { numbersAt } from './leaves';
import { aligned, intervalFor, type Span } from './range';

export interface HistorySeries {
  times: Float64Array;
  values: Float64Array;
  low: Float64Array;
  high: Float64Array;
  counts: Float64Array;
}

/** Buckets whose tick lengths vary by more than this have no meaningful per-second extremes. */
const UNEQUAL_TICKS = 0.05;

type Many = (values: readonly number[]) => number;

/** Of all items of a list. */
const mean: Many = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const least: Many = (values) => (values.length > 0 ? Math.min(...values) : NaN);
const greatest: Many = (values) => (values.length > 0 ? Math.max(...values) : NaN);

/** If a field exists for each item of a list, such as all cores: their average, min and max. */
export function seriesOf(points: readonly DataPoint[], metricType: string, path: string): HistorySeries {
  const scale = scaleOf(metricType, path);
  const perSecond = isCountOfInterval(metricType, path);
  const make = (value: (point: DataPoint) => number) => Float64Array.from(points, value);
  const at = (document: unknown, one: string, many: Many): number =>
    many(numbersAt(metricType, document, one));
  const rate = (point: DataPoint, document: unknown, value: number): number => {
    if (!perSecond) return value * scale;
    const shortest = at(point.min, 'elapsed_ms', least);
    const longest = at(point.max, 'elapsed_ms', greatest);
    if (document !== point.data && (longest - shortest) / longest > UNEQUAL_TICKS) return NaN;
    return ((value * 1000) / at(point.data, 'elapsed_ms', mean)) * scale;
  };
  const read = (point: DataPoint, document: unknown, many: Many): number =>
    rate(point, document, at(document, path, many));
  return {
    times: make((point) => Date.parse(point.timestamp)),
    values: make((point) => read(point, point.data, mean)),
    low: make((point) => read(point, point.min, least)),
    high: make((point) => read(point, point.max, greatest)),
    counts: make((point) => point.count ?? 1),
  };
}

export interface SeriesQuery extends Span {
  metricType: string;
  interval: string;
  /** Members of the document. */
  fields: string[];
}

/** Points across a chart. */
const MAX_POINTS = 900;

/** The query for these fields, as fine as fits and in whole points; null if there are none. */
export function queryFor(
  metricType: string,
  paths: readonly string[],
  span: Span,
  most = MAX_POINTS,
): SeriesQuery | null {
  if (paths.length === 0) return null;
  const fields = new Set(paths);
  if (paths.some((path) => isCountOfInterval(metricType, path))) fields.add('elapsed_ms');
  const interval = intervalFor(span.to - span.from, most);
  return { metricType, ...aligned(span, interval.ms), interval: interval.name, fields: [...fields] };
}

export interface Summary {
  average: number;
  min: number;
  max: number;
}

/** Over all samples, not points: buckets are weighted by their sample count. NaN without data. */
export function summarise(series: HistorySeries): Summary {
  let [sum, weight, min, max] = [0, 0, Infinity, -Infinity];
  series.values.forEach((value, i) => {
    if (Number.isNaN(value)) return;
    const count = series.counts[i] ?? 1;
    sum += value * count;
    weight += count;
    min = Math.min(min, orElse(series.low[i], value));
    max = Math.max(max, orElse(series.high[i], value));
  });
  return weight > 0 ? { average: sum / weight, min, max } : { average: NaN, min: NaN, max: NaN };
}

const orElse = (value: number | undefined, other: number): number =>
  value === undefined || Number.isNaN(value) ? other : value;

/** Percent from `base` to `value`; NaN where the base is zero or missing. */
export function changePercent(value: number, base: number): number {
  return base === 0 ? NaN : (100 * (value - base)) / Math.abs(base);
}

/** The series shifted in time, for overlaying it on the current one. */
export function shifted<T extends { times: Float64Array }>(series: T, by: number): T {
  return { ...series, times: series.times.map((time) => time + by) };
}

/** `a - b` where both have a point within half an interval of each other. */
export function difference(
  a: Pick<HistorySeries, 'times' | 'values'>,
  b: Pick<HistorySeries, 'times' | 'values'>,
  interval: number,
): { times: Float64Array; values: Float64Array } {
  let at = 0;
  const values = a.times.map((time, i) => {
    while (
      at + 1 < b.times.length &&
      Math.abs((b.times[at + 1] ?? NaN) - time) <= Math.abs((b.times[at] ?? NaN) - time)
    ) {
      at += 1;
    }
    const near = Math.abs((b.times[at] ?? NaN) - time) <= interval / 2;
    return near ? (a.values[i] ?? NaN) - (b.values[at] ?? NaN) : NaN;
  });
  return { times: a.times, values };
}

/** Index of the point whose bucket contains `time`, or -1. */
export function indexAt(times: ArrayLike<number>, time: number, interval: number): number {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((times[middle] ?? 0) <= time) low = middle + 1;
    else high = middle;
  }
  const index = low - 1;
  return index >= 0 && time - (times[index] ?? -Infinity) < interval * 1.5 ? index : -1;
}

const INTERVALS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `5m` in milliseconds. */
export function intervalMs(name: string): number {
  return Number.parseInt(name, 10) * (INTERVALS[name.at(-1) ?? ''] ?? 1000);
}
