/** A latency distribution over a range: the histogram of each point, and its quantiles as lines. */
import type { DataPoint, Histogram } from '@/api/types';
import { quantile } from './histogram';
import { histogramAt } from './leaves';

export interface Bucket {
  start: number;
  histogram: Histogram;
}

export function bucketsOf(points: readonly DataPoint[], path: string): Bucket[] {
  return points.flatMap((point) => {
    const histogram = histogramAt(point.data, path);
    return histogram === null ? [] : [{ start: Date.parse(point.timestamp), histogram }];
  });
}

/** A quantile of each point, in the middle of its bucket. */
export function quantileLine(buckets: readonly Bucket[], share: number, interval: number) {
  return {
    times: Float64Array.from(buckets, ({ start }) => start + interval / 2),
    values: Float64Array.from(buckets, ({ histogram }) => quantile(histogram, share) ?? NaN),
  };
}
