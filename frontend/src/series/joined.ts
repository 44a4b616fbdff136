/**
 * Stored points continued by the stream's samples: no moment twice, none left out, and both of the same width.
 * A stored point is stamped with the start of its bucket; it is drawn in the middle.
 */
import type { Column, HistogramTrack } from './histogram';
import type { Span } from './range';
import type { Ring } from './ring';
import type { Stretch } from './stretch';

export interface Joined {
  times: Float64Array;
  values: Float64Array;
  /** Extremes of each point's samples; absent where every point is one sample. */
  low?: Float64Array;
  high?: Float64Array;
}

export interface Sources {
  past: Stretch | null;
  /** The stream's samples; null while it is not shown. */
  ring: Ring | null;
  /** Milliseconds between the stream's samples. */
  tick: number;
  /** Milliseconds per drawn point. */
  width: number;
}

/** From this time on the stream is drawn, before it what is stored. */
export function joinAt({ past, ring, tick }: Sources): number {
  const last = past?.values.last ?? null;
  if (ring === null || ring.size === 0) return Infinity;
  if (past === null || last === null) return -Infinity;
  // The last stored point may have been incomplete: the stream replaces it, if it has all of it.
  return ring.timeAt(0) < last + tick ? last : last + past.width;
}

/** Columns that fill up: an array for each point would be many thousand small objects per tick. */
class Points {
  private readonly columns: Float64Array[];
  private count = 0;
  hasBand = false;

  constructor(capacity: number) {
    this.columns = Array.from({ length: 4 }, () => new Float64Array(capacity));
  }

  add(...point: [time: number, value: number, low: number, high: number]): void {
    this.columns.forEach((column, k) => (column[this.count] = point[k] ?? NaN));
    this.count += 1;
  }

  joined(): Joined {
    const [times, values, low, high] = this.columns.map((column) => column.subarray(0, this.count)) as [
      Float64Array,
      Float64Array,
      Float64Array,
      Float64Array,
    ];
    return this.hasBand ? { times, values, low, high } : { times, values };
  }
}

/** Quantiles cannot be averaged: of several the largest is drawn. */
const isQuantile = (name: string): boolean => /\.p\d+_us$/.test(name);

/** Averages of the ring's samples per bucket, with their extremes. */
function addBuckets(points: Points, name: string, ring: Ring, from: number, to: number, width: number): void {
  let [bucket, sum, count, low, high] = [NaN, 0, 0, Infinity, -Infinity];
  const finish = (): void => {
    if (count > 0) points.add(bucket + width / 2, isQuantile(name) ? high : sum / count, low, high);
  };
  ring.each(name, ring.indexFrom(from), ring.indexFrom(to + 1), (value, time) => {
    const start = Math.floor(time / width) * width;
    if (start !== bucket) {
      finish();
      [bucket, sum, count, low, high] = [start, 0, 0, Infinity, -Infinity];
    }
    sum += value;
    count += 1;
    low = Math.min(low, value);
    high = Math.max(high, value);
  });
  finish();
}

/** A stored series; nothing of it is copied. */
function storedSeries(name: string, span: Span, past: Stretch): Joined {
  const { values, low, high, middles, isRaw } = past;
  const first = values.indexFrom(span.from - 2 * past.width);
  const end = values.indexFrom(span.to + 1);
  const [times, drawn] = [middles.subarray(first, end), values.view(name, first, end)];
  if (isRaw) return { times, values: drawn };
  return { times, values: drawn, low: low.view(name, first, end), high: high.view(name, first, end) };
}

/** A series within `span`, with a point before it, so that its line reaches the edge. */
export function joinedSeries(name: string, span: Span, sources: Sources): Joined {
  const { past, ring, tick, width } = sources;
  if (ring === null) {
    if (past !== null) return storedSeries(name, span, past);
    return { times: new Float64Array(), values: new Float64Array() };
  }
  const join = joinAt(sources);
  const points = new Points((past?.values.size ?? 0) + ring.size);
  if (past !== null) {
    points.hasBand = !past.isRaw;
    const { values, low, high, middles } = past;
    for (let i = values.indexFrom(span.from - 2 * past.width); i < values.size; i += 1) {
      const time = values.timeAt(i);
      if (time >= join || time > span.to) break;
      points.add(middles[i] ?? NaN, values.at(name, i), low.at(name, i), high.at(name, i));
    }
  }
  const from = Math.max(span.from - Math.max(width, tick), join);
  if (width > tick) {
    points.hasBand = true;
    // A whole bucket, unless the stream began within it.
    addBuckets(points, name, ring, Math.max(join, Math.floor(from / width) * width), span.to, width);
    return points.joined();
  }
  const { times, values } = ring.slice(name, from, span.to);
  if (past === null || join === -Infinity) return { times, values };
  for (let i = 0; i < times.length; i += 1) {
    const value = values[i] ?? NaN;
    points.add(times[i] ?? NaN, value, value, value);
  }
  return points.joined();
}

export interface JoinedColumns {
  /** The end of each column's bucket. */
  times: number[];
  columns: Column[];
}

/** Columns of neighbouring ticks as one. */
function merged(columns: readonly Column[]): Column {
  const counts = new Map<number, number>();
  for (const column of columns) {
    for (let i = 0; i < column.length; i += 2) {
      const row = column[i] ?? 0;
      counts.set(row, (counts.get(row) ?? 0) + (column[i + 1] ?? 0));
    }
  }
  return Uint32Array.from([...counts].sort(([a], [b]) => a - b).flat());
}

/** The columns of a heatmap within `span`. */
export function joinedColumns(
  name: string,
  span: Span,
  stream: HistogramTrack,
  sources: Sources,
): JoinedColumns {
  const { past, ring, tick, width } = sources;
  const join = joinAt(sources);
  const out: JoinedColumns = { times: [], columns: [] };
  if (past !== null) {
    const { times, columns } = past.histograms.slice(name, span.from - 2 * past.width, span.to);
    times.forEach((time, i) => {
      const column = columns[i];
      if (time >= join || column === undefined) return;
      // A sample's stamp is the end of what it measured.
      out.times.push(past.isRaw ? time : time + past.width);
      out.columns.push(column);
    });
  }
  if (ring === null) return out;
  const { times, columns } = stream.slice(name, Math.max(span.from, join) - 1, span.to);
  if (width <= tick) return { times: [...out.times, ...times], columns: [...out.columns, ...columns] };
  let group: Column[] = [];
  times.forEach((time, i) => {
    const end = (Math.floor(time / width) + 1) * width;
    const column = columns[i];
    if (column !== undefined) group.push(column);
    if (i + 1 < times.length && (times[i + 1] ?? NaN) < end) return;
    out.times.push(end);
    out.columns.push(merged(group));
    group = [];
  });
  return out;
}
