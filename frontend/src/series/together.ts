/** Points of several machines as if they were of one, to compare a machine with a group of others. */
import type { DataPoint, Histogram } from '@/api/types';
import { isHistogram } from './histogram';

const mean = (values: readonly number[]): number => values.reduce((sum, one) => sum + one, 0) / values.length;
const combine = {
  data: mean,
  min: (all: readonly number[]) => Math.min(...all),
  max: (all: readonly number[]) => Math.max(...all),
};
type Part = keyof typeof combine;

function added(histograms: readonly Histogram[]): Histogram {
  const counts = new Map<number, number>();
  for (const [index, count] of histograms.flatMap(({ buckets }) => buckets))
    counts.set(index, (counts.get(index) ?? 0) + count);
  const sum = (numbers: readonly (number | null | undefined)[]): number =>
    numbers.reduce<number>((all, one) => all + (one ?? 0), 0);
  return {
    ...(histograms[0] as Histogram),
    buckets: [...counts].sort(([a], [b]) => a - b),
    count: sum(histograms.map(({ count }) => count)),
    sum: sum(histograms.map((one) => one.sum)),
    max: Math.max(...histograms.map(({ max }) => max ?? 0)),
  };
}

type Tree = Record<string, unknown>;
const isTree = (value: unknown): value is Tree =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Numbers as `part` says, distributions added up; what only some have is of those. Texts, and lists of things that have no name in common, are left out. */
function merged(values: readonly unknown[], part: Part): unknown {
  const known = values.filter((value) => value !== null && value !== undefined);
  const numbers = known.filter((value) => typeof value === 'number');
  if (numbers.length > 0) return combine[part](numbers);
  const histograms = known.filter(isHistogram);
  if (histograms.length > 0) return added(histograms);
  const trees = known.filter(isTree);
  if (trees.length === 0) return undefined;
  const names = new Set(trees.flatMap((tree) => Object.keys(tree)));
  const entries = [...names].map(
    (name) =>
      [
        name,
        merged(
          trees.map((tree) => tree[name]),
          part,
        ),
      ] as const,
  );
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}

export function together(machines: readonly (readonly DataPoint[])[]): DataPoint[] {
  const byTime = new Map<string, DataPoint[]>();
  for (const point of machines.flat()) {
    const points = byTime.get(point.timestamp);
    if (points === undefined) byTime.set(point.timestamp, [point]);
    else points.push(point);
  }
  const times = [...byTime.keys()].sort((a, b) => Date.parse(a) - Date.parse(b));
  return times.map((timestamp) => {
    const points = byTime.get(timestamp) ?? [];
    const part = (name: Part) =>
      (merged(
        points.map((point) => point[name]),
        name,
      ) ?? {}) as Tree;
    const counts = points.flatMap(({ count }) => (count === undefined ? [] : [count]));
    return {
      timestamp,
      data: part('data'),
      ...(points.some(({ min }) => min) ? { min: part('min') } : {}),
      ...(points.some(({ max }) => max) ? { max: part('max') } : {}),
      ...(counts.length > 0 ? { count: Math.max(...counts) } : {}),
    };
  });
}
