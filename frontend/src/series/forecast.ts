/** How much disk space a retention takes, from what each resolution takes at present. Pure. */
import type { Retention } from '@/api/types';

export interface Policy {
  days: number;
  downsampling: boolean;
  /** Days. */
  after: number;
  /** The resolution that replaces finer ones. */
  to: string;
}

/** Seconds per point. */
const steps: Record<string, number> = { '5s': 0, '1m': 60, '5m': 300, '1h': 3600 };
/** Pages, indexes and accounts besides the data itself. */
const OVERHEAD = 1.1;

/** Bytes once history is as old as it gets, or null while too little is stored to tell. */
export function forecast(
  growth: Retention['growth'],
  { days, downsampling, after, to }: Policy,
): number | null {
  if (!growth.some(({ interval_seconds }) => interval_seconds === 0)) return null;
  const coarse = steps[to] ?? 0;
  const kept = (seconds: number): number => (downsampling && seconds < coarse ? Math.min(after, days) : days);
  const bytes = growth.map(({ interval_seconds, bytes_per_day }) => bytes_per_day * kept(interval_seconds));
  return OVERHEAD * bytes.reduce((sum, part) => sum + part, 0);
}
