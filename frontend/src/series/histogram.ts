/**
 * Latency histograms of scheme `log16` as heatmap columns. Four adjacent buckets, a quarter of a power of two,
 * make one row; finer ones would not be visible.
 */
import type { Histogram } from '@/api/types';

/** `bucket >> 2` is the row: buckets are sixteenths of a power of two, in order. */
const ROW_SHIFT = 2;

/** Rows with their counts, `[row, count, row, count, …]`, ascending: as the store's columns have them. */
export type Column = ArrayLike<number> & Iterable<number>;

export function isHistogram(value: unknown): value is Histogram {
  return (
    typeof value === 'object' &&
    value !== null &&
    'scheme' in value &&
    value.scheme === 'log16' &&
    'buckets' in value &&
    Array.isArray(value.buckets)
  );
}

/** The smallest value of a bucket; the bucket ends where the next one starts. */
export function bucketLow(index: number): number {
  if (index < 32) return index;
  return (16 + (index & 15)) * 2 ** ((index >> 4) - 1);
}

export function rowLow(row: number): number {
  return bucketLow(row << ROW_SHIFT);
}

/** The (fractional) row of a value, for lines drawn over the heatmap. */
export function rowOf(value: number): number {
  if (value < 32) return value / 4;
  const power = Math.floor(Math.log2(value));
  return (power - 3) * 4 + (value / 2 ** power - 1) * 4;
}

export function columnOf(histogram: Histogram): Column {
  const counts = new Map<number, number>();
  for (const [index, count] of histogram.buckets) {
    const row = index >> ROW_SHIFT;
    counts.set(row, (counts.get(row) ?? 0) + count);
  }
  return Uint32Array.from([...counts].sort(([a], [b]) => a - b).flat());
}

/** The value below which `share` of the samples lie, to the accuracy of a bucket. */
export function quantile(histogram: Histogram, share: number): number | null {
  const wanted = histogram.count * share;
  let seen = 0;
  for (const [index, count] of histogram.buckets) {
    seen += count;
    if (seen >= wanted && count > 0) return Math.min(bucketLow(index + 1) - 1, histogram.max ?? Infinity);
  }
  return null;
}

/** Histograms by name and time, for as long as the ring's samples. */
export class HistogramTrack {
  private readonly tracks = new Map<string, { times: number[]; columns: Column[] }>();

  constructor(private readonly capacity: number) {}

  push(time: number, name: string, histogram: Histogram): void {
    this.add(time, name, columnOf(histogram));
  }

  add(time: number, name: string, column: Column): void {
    let track = this.tracks.get(name);
    if (track === undefined) {
      track = { times: [], columns: [] };
      this.tracks.set(name, track);
    }
    track.times.push(time);
    track.columns.push(column);
    // Dropping in chunks keeps the cost per tick constant.
    if (track.times.length > this.capacity + 256) {
      track.times.splice(0, 256);
      track.columns.splice(0, 256);
    }
  }

  /** Drops columns older than `time` and names left without any: devices come and go. */
  pruneBefore(time: number): void {
    for (const [name, { times, columns }] of this.tracks) {
      const first = times.findIndex((one) => one >= time);
      if (first < 0) this.tracks.delete(name);
      times.splice(0, first);
      columns.splice(0, first);
    }
  }

  /** Drops the columns from `time` on. */
  rewind(time: number): void {
    for (const { times, columns } of this.tracks.values()) {
      while ((times.at(-1) ?? -Infinity) >= time) {
        times.pop();
        columns.pop();
      }
    }
  }

  clear(): void {
    this.tracks.clear();
  }

  names(prefix: string): string[] {
    return [...this.tracks.keys()].filter((name) => name.startsWith(prefix));
  }

  slice(name: string, from: number, to: number): { times: number[]; columns: Column[] } {
    const track = this.tracks.get(name);
    if (track === undefined) return { times: [], columns: [] };
    let first = track.times.length;
    while (first > 0 && (track.times[first - 1] ?? 0) > from) first -= 1;
    let end = track.times.length;
    while (end > first && (track.times[end - 1] ?? 0) > to) end -= 1;
    return { times: track.times.slice(first, end), columns: track.columns.slice(first, end) };
  }
}

/** Histograms anywhere in a document, by path. */
export function* histogramsIn(path: string, value: unknown, depth = 7): Generator<[string, Histogram]> {
  if (typeof value !== 'object' || value === null || depth === 0) return;
  if (isHistogram(value)) {
    yield [path, value];
    return;
  }
  if (Array.isArray(value)) return;
  for (const [key, inner] of Object.entries(value)) yield* histogramsIn(`${path}.${key}`, inner, depth - 1);
}
