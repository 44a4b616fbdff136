/** A process's usage from the stored lists of the busiest: points that do not list it are gaps, not zeros. */
import type { ProcessHistory } from '@/api/types';
import type { Tracked } from './processTrack';
import type { Slice } from './ring';

export interface StoredSeries extends Slice {
  /** The averages again: a bucket's minimum is unknown, since the process may not have been listed then. */
  low: Float64Array;
  high: Float64Array;
}

export function storedSeries(history: ProcessHistory, key: Tracked): StoredSeries {
  const points = history.data_points;
  const values = Float64Array.from(points, ({ data }) => data?.[key] ?? NaN);
  return {
    times: Float64Array.from(points, ({ timestamp }) => Date.parse(timestamp)),
    values,
    low: values,
    high: Float64Array.from(points, ({ max }) => max?.[key] ?? NaN),
  };
}

/** How many of the sampled lists contain it. */
export function presence(history: ProcessHistory): { listed: number; snapshots: number } {
  return history.data_points.reduce(
    (sum, { listed, snapshots }) => ({
      listed: sum.listed + listed,
      snapshots: sum.snapshots + snapshots,
    }),
    { listed: 0, snapshots: 0 },
  );
}
