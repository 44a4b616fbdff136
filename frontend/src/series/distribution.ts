/** Distributions of a series in two ranges over one axis, for comparison. */
import type { DataPoint } from '@/api/types';
import { columnOf, rowLow } from './histogram';
import { histogramAt, numbersAt } from './leaves';

export interface Distributions {
  /** Edges of the bins, one more than there are bins. */
  edges: number[];
  /** Share of each bin; the shares of a range with data sum to 1. */
  current: number[];
  comparison: number[];
}

const BINS = 48;

/** A value and its weight, the number of samples. */
export type Sample = readonly [value: number, weight: number];

/** For `rate` fields: a counter's growth per second from point to point. */
export function samplesOf(
  points: readonly DataPoint[],
  metricType: string,
  path: string,
  kind: string,
): Sample[] {
  const at = (point: DataPoint | undefined): number[] => numbersAt(metricType, point?.data, path);
  const weightOf = (point: DataPoint): number => point.count ?? 1;
  if (kind !== 'rate') {
    return points.flatMap((point) => at(point).map((value): Sample => [value, weightOf(point)]));
  }
  return points.slice(1).flatMap((point, i): Sample[] => {
    const before = points[i];
    const seconds = (Date.parse(point.timestamp) - Date.parse(before?.timestamp ?? '')) / 1000;
    const [now, then] = [at(point)[0], at(before)[0]];
    // A counter that went back was reset.
    if (now === undefined || then === undefined || now < then || !(seconds > 0)) return [];
    return [[(now - then) / seconds, weightOf(point)]];
  });
}

function shares(samples: readonly Sample[], low: number, width: number): number[] {
  const bins = new Array<number>(BINS).fill(0);
  let total = 0;
  for (const [value, weight] of samples) {
    const bin = Math.min(BINS - 1, Math.max(0, Math.floor((value - low) / width)));
    bins[bin] = (bins[bin] ?? 0) + weight;
    total += weight;
  }
  return bins.map((weight) => (total > 0 ? weight / total : 0));
}

export function distributions(
  current: readonly Sample[],
  comparison: readonly Sample[],
): Distributions | null {
  const values = [...current, ...comparison].map(([value]) => value);
  if (values.length === 0) return null;
  const [min, max] = [Math.min(...values), Math.max(...values)];
  // A constant is put in the middle.
  const padding = min === max ? Math.max(1e-9, Math.abs(min) * 0.1) : 0;
  const [low, high] = [min - padding, max + padding];
  const width = (high - low) / BINS;
  return {
    edges: Array.from({ length: BINS + 1 }, (_, i) => low + i * width),
    current: shares(current, low, width),
    comparison: shares(comparison, low, width),
  };
}

/** A range's merged histograms by heatmap row, on an axis of powers of two. */
function rowsOf(points: readonly DataPoint[], path: string): Map<number, number> {
  const rows = new Map<number, number>();
  for (const point of points) {
    const histogram = histogramAt(point.data, path);
    if (histogram === null) continue;
    const column = columnOf(histogram);
    for (let i = 0; i < column.length; i += 2) {
      const row = column[i] ?? 0;
      rows.set(row, (rows.get(row) ?? 0) + (column[i + 1] ?? 0));
    }
  }
  return rows;
}

export function histogramDistributions(
  current: readonly DataPoint[],
  comparison: readonly DataPoint[],
  path: string,
): Distributions | null {
  const sides = [rowsOf(current, path), rowsOf(comparison, path)] as const;
  const rows = sides.flatMap((side) => [...side.keys()]);
  if (rows.length === 0) return null;
  const [low, high] = [Math.min(...rows), Math.max(...rows)];
  const share = (side: Map<number, number>): number[] => {
    const total = [...side.values()].reduce((sum, count) => sum + count, 0);
    return Array.from({ length: high - low + 1 }, (_, i) =>
      total > 0 ? (side.get(low + i) ?? 0) / total : 0,
    );
  };
  return {
    edges: Array.from({ length: high - low + 2 }, (_, i) => rowLow(low + i)),
    current: share(sides[0]),
    comparison: share(sides[1]),
  };
}
