import { describe, expect, it } from 'vitest';
import type { ColumnsOfType } from '@/api/types';
import { HistogramTrack } from '@/series/histogram';
import { joinAt, joinedColumns, joinedSeries, type Sources } from '@/series/joined';
import { Ring } from '@/series/ring';
import { Stretch } from '@/series/stretch';

const NAME = 'cpu.usage_percent';

/** Points of one field, whose extremes are one less and one more. */
function stored(seconds: number[], width: number, count = 1): Stretch {
  const columns: ColumnsOfType = {
    metric_type: 'cpu',
    interval: '1s',
    times: seconds.map((second) => second * 1000),
    count: seconds.map(() => count),
    average: { usage_percent: seconds },
    histograms: {},
    truncated: false,
    ...(count > 1 && {
      min: { usage_percent: seconds.map((second) => second - 1) },
      max: { usage_percent: seconds.map((second) => second + 1) },
    }),
  };
  return new Stretch(columns, width * 1000);
}
function streamed(first: number, last: number): Ring {
  const ring = new Ring(1000);
  // Ticks are stamped a little after the whole second.
  for (let second = first; second <= last; second += 1) ring.push(second * 1000 + 1, [[NAME, second]]);
  return ring;
}
function joined(from: number, to: number, sources: Partial<Sources>) {
  const all: Sources = { past: null, ring: null, tick: 1000, width: 1000, ...sources };
  const { times, values, low, high } = joinedSeries(NAME, { from: from * 1000, to: to * 1000 + 500 }, all);
  return {
    times: [...times].map((time) => Math.round(time / 100) / 10),
    values: [...values],
    low: low && [...low],
    high: high && [...high],
  };
}

describe('stored samples continued by the stream', () => {
  it('have every second once', () => {
    // Where both have a second, where they only touch, and where the stream began within the last stored one.
    for (const first of [5, 10, 11]) {
      const { times } = joined(1, 20, {
        past: stored([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 1),
        ring: streamed(first, 20),
      });
      expect(times).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    }
  });

  it('are the stream alone, the store alone, or nothing', () => {
    expect(joined(3, 6, { ring: streamed(1, 9) }).values).toEqual([2, 3, 4, 5, 6]);
    const past = stored([1, 2, 3, 4, 5], 1);
    expect(joined(2, 4, { past }).values).toEqual([1, 2, 3, 4]);
    expect(joined(2, 4, { past, ring: new Ring(4) }).values).toEqual([1, 2, 3, 4]);
    expect(joined(1, 9, {}).values).toEqual([]);
    expect(joinAt({ past: stored([], 1), ring: streamed(1, 2), tick: 1000, width: 1000 })).toBe(-Infinity);
  });

  it('keep a hole that neither fills', () => {
    const { times } = joined(1, 12, { past: stored([1, 2, 3], 1), ring: streamed(9, 12) });
    expect(times).toEqual([1, 2, 3, 9, 10, 11, 12]);
  });
});

describe('stored averages continued by the stream', () => {
  const past = stored([0, 10, 20, 30], 10, 10);

  it('have buckets of the same width, with their extremes, drawn in their middle', () => {
    const { times, values, low, high } = joined(0, 49, { past, ring: streamed(25, 49), width: 10_000 });
    expect(times).toEqual([5, 15, 25, 35, 45]);
    // The last stored bucket may have been incomplete; the stream has all of it.
    expect(values).toEqual([0, 10, 20, 34.5, 44.5]);
    expect([low?.[3], high?.[3]]).toEqual([30, 39]);
    expect([low?.[1], high?.[1]]).toEqual([9, 11]);
  });

  it('keep the last stored bucket if the stream has only a part of it', () => {
    const { times, values } = joined(0, 49, { past, ring: streamed(35, 49), width: 10_000 });
    expect(times).toEqual([5, 15, 25, 35, 45]);
    expect(values[3]).toBe(30);
  });

  it('do not dive at the edge of the window: its first bucket is whole', () => {
    const { values } = joined(27, 49, { past: null, ring: streamed(0, 49), width: 10_000 });
    expect(values.slice(0, 2)).toEqual([14.5, 24.5]);
  });

  it('draw the largest of several quantiles, which have no average', () => {
    const ring = new Ring(10);
    [1, 9, 2].forEach((value, i) => ring.push(1000 * (i + 1), [['scheduler.runqueue_wait.p99_us', value]]));
    const sources = { past: null, ring, tick: 1000, width: 10_000 };
    const { values } = joinedSeries('scheduler.runqueue_wait.p99_us', { from: 0, to: 9000 }, sources);
    expect([...values]).toEqual([9]);
  });
});

describe('heatmap columns', () => {
  it('of the stream are added up to the width of the stored ones', () => {
    const track = new HistogramTrack(100);
    for (let second = 20; second < 40; second += 1)
      track.push(second * 1000, 'tcp.x', { scheme: 'log16', count: 1, buckets: [[40, 1]] });
    const ring = new Ring(100);
    for (let second = 20; second < 40; second += 1) ring.push(second * 1000, [[NAME, 1]]);
    const sources = { past: null, ring, tick: 1000, width: 10_000 };
    const { times, columns } = joinedColumns('tcp.x', { from: 20_000, to: 40_000 }, track, sources);
    expect(times).toEqual([30_000, 40_000]);
    expect(columns.map((column) => [...column])).toEqual([
      [10, 10],
      [10, 10],
    ]);
  });

  it('of the store end where their bucket ends', () => {
    const columns = {
      metric_type: 'tcp',
      interval: '10s',
      times: [0, 10_000],
      count: [10, 10],
      average: {},
      histograms: {
        'x.histogram': [
          [10, 2],
          [10, 2],
        ],
      },
      truncated: false,
    };
    const past = new Stretch(columns, 10_000);
    const sources = { past, ring: null, tick: 1000, width: 10_000 };
    const { times, columns: drawn } = joinedColumns(
      'tcp.x.histogram',
      { from: 0, to: 20_000 },
      new HistogramTrack(1),
      sources,
    );
    expect(times).toEqual([10_000, 20_000]);
    expect(drawn).toEqual([
      [10, 2],
      [10, 2],
    ]);
  });
});

describe('a stretch of stored points', () => {
  it('knows the distance of samples that are sparser than was asked for', () => {
    expect(stored([0, 5, 10, 15], 1).width).toBe(5000);
    expect(stored([], 1).width).toBe(1000);
  });

  it('turns counts per interval into rates, with extremes only where the intervals are alike', () => {
    const events = (value: number, elapsed_ms: number) => ({
      'events.cycles.value': [value],
      elapsed_ms: [elapsed_ms],
    });
    const make = (shortest: number, longest: number) =>
      new Stretch(
        {
          metric_type: 'perf_events',
          interval: '1s',
          times: [0],
          count: [2],
          average: events(10, 1000),
          min: events(5, shortest),
          max: events(20, longest),
          histograms: {},
          truncated: false,
        },
        1000,
      );
    const even = make(1000, 1000);
    expect([even.values, even.low, even.high].map((ring) => ring.at('perf_events.cycles', 0))).toEqual([
      10, 5, 20,
    ]);
    expect(make(200, 1800).high.at('perf_events.cycles', 0)).toBeNaN();
  });

  it('has the series that cards compute of several fields, as the stream has them', () => {
    const of = (metric_type: string, average: Record<string, (number | null)[]>) =>
      new Stretch(
        {
          metric_type,
          interval: '1s',
          times: [0, 1000],
          count: [1, 1],
          average,
          histograms: {},
          truncated: false,
        },
        1000,
      ).values;
    const cpu = of('cpu', { irq: [1, null], softirq: [2, 3], 'per_core.0': [5, null] });
    expect([0, 1].map((i) => cpu.at('cpu.irq_total', i))).toEqual([3, NaN]);
    expect([0, 1].map((i) => cpu.at('cpu.per_core.0', i))).toEqual([5, NaN]);
    const memory = of('memory', { total_bytes: [100, 100], free_bytes: [20, 30], cached_bytes: [50, null] });
    expect([0, 1].map((i) => memory.at('memory.programs_bytes', i))).toEqual([30, 70]);
    const paging = of('memory_bandwidth', { pgpgin_per_sec: [2, null] });
    expect([0, 1].map((i) => paging.at('memory_bandwidth.in_bytes_per_sec', i))).toEqual([2048, NaN]);
  });
});
