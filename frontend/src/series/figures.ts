/** What is said of a distribution in numbers. */
import type { Histogram } from '@/api/types';
import { format, type Unit } from '@/format/units';
import { quantile } from './histogram';

export const unitOfHistogram = (histogram: Histogram | null | undefined): Unit =>
  histogram?.unit === 'bytes' ? 'bytes' : 'ns';

export const figures = ['p50', 'p99', 'p99.9', 'max', 'samples'] as const;

export function numbersOf(histogram: Histogram | null | undefined): number[] {
  if (histogram === null || histogram === undefined) return figures.map(() => NaN);
  const shares = [0.5, 0.99, 0.999].map((share) => quantile(histogram, share) ?? NaN);
  return [...shares, histogram.max ?? NaN, histogram.count];
}

/** The same as texts. */
export function figuresOf(histogram: Histogram | null | undefined): string[] {
  const unit = unitOfHistogram(histogram);
  return numbersOf(histogram).map((value, i) => format(value, figures[i] === 'samples' ? 'count' : unit));
}
