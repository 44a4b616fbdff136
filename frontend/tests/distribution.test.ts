import { describe, expect, it } from 'vitest';
import type { DataPoint } from '@/api/types';
import { stepPath } from '@/charts/steps';
import { distributions, histogramDistributions, samplesOf } from '@/series/distribution';

const point = (second: number, data: object, count = 1): DataPoint => ({
  timestamp: new Date(second * 1000).toISOString(),
  data: data as DataPoint['data'],
  count,
});
const sum = (shares: readonly number[]) => shares.reduce((total, share) => total + share, 0);

describe('distributions of two ranges', () => {
  it('share one axis and weigh each point by its samples', () => {
    const current = samplesOf([point(0, { a: 0 }, 3), point(5, { a: 48 }, 1)], 'cpu', 'a', 'number');
    const both = distributions(current, samplesOf([point(0, { a: 24 })], 'cpu', 'a', 'number'));
    expect(both?.edges.length).toBe(49);
    expect([both?.edges[0], both?.edges.at(-1)]).toEqual([0, 48]);
    expect(both?.current[0]).toBe(0.75);
    expect(both?.current.at(-1)).toBe(0.25);
    expect(both?.comparison[24]).toBe(1);
  });

  it('treat all members of a list as one series', () => {
    const values = (type: string, path: string, data: object) =>
      samplesOf([point(0, data)], type, path, 'number').map(([value]) => value);
    expect(values('cpu', 'per_core', { per_core: [1, 2] })).toEqual([1, 2]);
    const per_cpu = [
      { cpu: 0, busy_percent: 3 },
      { cpu: 1, busy_percent: null },
      { cpu: 2, busy_percent: 5 },
    ];
    expect(values('scheduler', 'per_cpu.busy_percent', { per_cpu })).toEqual([3, 5]);
    expect(values('scheduler', 'per_cpu.2.busy_percent', { per_cpu })).toEqual([5]);
  });

  it('use the growth per second of counters, without resets', () => {
    const points = [point(0, { n: 10 }), point(5, { n: 20 }), point(10, { n: 1 }), point(15, { n: 6 })];
    expect(samplesOf(points, 'cpu', 'n', 'rate').map(([value]) => value)).toEqual([2, 1]);
  });

  it('put a constant in the middle, and are null without data', () => {
    const constant = distributions([[5, 1]], [[5, 2]]);
    expect(constant?.current[24]).toBe(1);
    expect(distributions([], [])).toBeNull();
    expect(histogramDistributions([point(0, {})], [], 'wait.histogram')).toBeNull();
  });

  it('merge the histograms of a range', () => {
    const wait = (buckets: [number, number][]) => ({
      wait: { histogram: { unit: 'ns', scheme: 'log16', buckets, count: 1 } },
    });
    const both = histogramDistributions(
      [
        point(0, wait([[100, 1]])),
        point(
          5,
          wait([
            [100, 2],
            [104, 1],
          ]),
        ),
      ],
      [point(0, wait([[108, 7]]))],
      'wait.histogram',
    );
    expect(both?.current).toEqual([0.75, 0.25, 0]);
    expect(both?.comparison).toEqual([0, 0, 1]);
    expect(sum(both?.current ?? [])).toBeCloseTo(1);
    expect(both?.edges.length).toBe(4);
  });

  it('are drawn as steps', () => {
    expect(stepPath([0, 1], 1, 10, 10)).toBe('M0 10L0.0 10.0L5.0 10.0L5.0 2.0L10.0 2.0L10 10');
    expect(stepPath([], 1, 10, 10)).toBe('');
  });
});
