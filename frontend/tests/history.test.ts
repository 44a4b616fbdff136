import { describe, expect, it } from 'vitest';
import type { DataPoint } from '@/api/types';
import { fieldName, scaleOf, unitOf } from '@/format/fields';
import { comparedRanges, parseView, viewQuery, type HistoryView } from '@/series/historyView';
import { memberPath, histogramAt, leavesOf, numberAt } from '@/series/leaves';
import {
  changePercent,
  difference,
  indexAt,
  intervalMs,
  queryFor,
  seriesOf,
  shifted,
  summarise,
} from '@/series/points';
import { pan, resolve, select, zoom } from '@/series/range';

const HOUR = 3_600_000;
const NOW = Date.parse('2026-03-02T12:00:00Z');

describe('the URL of a view', () => {
  const views: HistoryView[] = [
    {
      mode: 'explore',
      metric: 'cpu',
      fields: ['usage_percent'],
      range: { preset: '24h' },
      comparison: { period: 'hour', against: 'yesterday' },
    },
    {
      mode: 'compare',
      metric: 'disk',
      fields: ['devices.vda.write_latency_ms', 'io.read_bytes_per_sec'],
      range: { from: NOW - HOUR, to: NOW },
      comparison: { start: NOW - 25 * HOUR },
    },
    {
      mode: 'changes',
      metric: 'cpu',
      fields: ['usage_percent'],
      range: { preset: '1h' },
      comparison: { period: 'week', against: 'last_week' },
    },
  ];

  it('round-trips', () => {
    for (const view of views) expect(parseView(viewQuery(view))).toEqual(view);
  });

  it('omits defaults', () => {
    expect(viewQuery(parseView({}))).toEqual({ metric: 'cpu', range: '1h' });
  });

  it('falls back to the defaults on nonsense', () => {
    const view = parseView({ mode: 'x', range: '9y', from: 'b', to: '3', period: null, against: ['?'] });
    expect(view.mode).toBe('explore');
    expect(view.range).toEqual({ preset: '1h' });
    expect(view.comparison).toEqual({ period: 'hour', against: 'yesterday' });
    expect(parseView({ from: '2026-01-02', to: '2026-01-01' }).range).toEqual({ preset: '1h' });
  });

  it('compares a period with the same one earlier, or with any start', () => {
    const chosen = { from: NOW - 2 * HOUR, to: NOW - HOUR };
    const week = parseView({ mode: 'compare', period: 'week', against: 'last_week' });
    const [current, before] = comparedRanges(week, NOW, chosen);
    expect(current).toEqual({ from: NOW - 168 * HOUR, to: NOW });
    expect(before).toEqual({ from: NOW - 336 * HOUR, to: NOW - 168 * HOUR });
    const custom = parseView({ mode: 'compare', with: '2026-03-01T00:00:00Z' });
    expect(comparedRanges(custom, NOW, chosen)).toEqual([
      chosen,
      { from: Date.parse('2026-03-01T00:00:00Z'), to: Date.parse('2026-03-01T01:00:00Z') },
    ]);
  });
});

describe('ranges', () => {
  const span = { from: NOW - 2 * HOUR, to: NOW - HOUR };

  it('resolve presets up to now', () => {
    expect(resolve({ preset: '6h' }, NOW)).toEqual({ from: NOW - 6 * HOUR, to: NOW });
    expect(resolve(span, NOW)).toBe(span);
  });

  it('zoom around a fixed time', () => {
    const at = span.from + HOUR / 4;
    const closer = zoom(span, 0.5, at, NOW);
    expect(closer.to - closer.from).toBe(HOUR / 2);
    expect((at - closer.from) / (closer.to - closer.from)).toBeCloseTo(0.25);
  });

  it('never reach into the future, and have a minimum length', () => {
    expect(pan(span, 5, NOW)).toEqual({ from: NOW - HOUR, to: NOW });
    const shortest = select(NOW - HOUR, NOW - HOUR, NOW);
    expect(shortest.to - shortest.from).toBe(10_000);
    expect(zoom(span, 10, span.from, NOW).to).toBe(NOW);
  });

  it('accept a selection from right to left', () => {
    expect(select(NOW - HOUR, NOW - 2 * HOUR, NOW)).toEqual({ from: NOW - 2 * HOUR, to: NOW - HOUR });
  });
});

const histogram = { unit: 'ns', scheme: 'log16', buckets: [[100, 2]], count: 2, sum: 9, max: 8 };

describe('leaves of a document', () => {
  const document = {
    _timestamp: 'x',
    usage_percent: 3,
    per_core: [1, 2],
    interfaces: [{ name: 'eth0', bytes: 1 }],
    devices: { 'dm-0.1': { read_iops: 4 } },
    runqueue_wait: { p99_us: 5, histogram },
    available: true,
    temperature: null,
  };

  it('are its numbers and histograms, not lists of objects', () => {
    const { numbers, histograms } = leavesOf(document);
    expect(numbers.toSorted()).toEqual([
      'devices.dm-0.1.read_iops',
      'per_core.0',
      'per_core.1',
      'runqueue_wait.p99_us',
      'usage_percent',
    ]);
    expect(histograms).toEqual(['runqueue_wait.histogram']);
  });

  it('are found by path, even with dots in names', () => {
    for (const path of leavesOf(document).numbers) expect(numberAt(document, path)).toBeGreaterThan(0);
    expect(histogramAt(document, 'runqueue_wait.histogram')).toBe(histogram);
    expect(numberAt(document, 'temperature')).toBeNaN();
    expect(numberAt(undefined, 'usage_percent')).toBeNaN();
  });

  it('are requested without list positions', () => {
    expect(memberPath('per_core.12')).toBe('per_core');
    expect(memberPath('devices.vda.read_iops')).toBe('devices.vda.read_iops');
  });
});

function point(minute: number, data: object, min?: object, max?: object, count = 1): DataPoint {
  return {
    timestamp: new Date(NOW + minute * 60_000).toISOString(),
    data: data as DataPoint['data'],
    ...(min ? { min: min as DataPoint['data'] } : {}),
    ...(max ? { max: max as DataPoint['data'] } : {}),
    count,
  };
}

describe('series of points', () => {
  it('keep average, extremes and weight of each bucket', () => {
    const points = [point(0, { a: 1 }, { a: 0 }, { a: 9 }, 3), point(1, {}), point(2, { a: 5 })];
    const series = seriesOf(points, 'cpu', 'a');
    expect([...series.values]).toEqual([1, NaN, 5]);
    expect(summarise(series)).toEqual({ average: 2, min: 0, max: 9 });
    expect(summarise(seriesOf([], 'cpu', 'a')).average).toBeNaN();
  });

  it('turn counts per interval into rates', () => {
    const events = (value: number) => ({ elapsed_ms: 500, events: { cycles: { value } } });
    const series = seriesOf(
      [point(0, events(10), events(5), events(20))],
      'perf_events',
      'events.cycles.value',
    );
    expect([series.values[0], series.low[0], series.high[0]]).toEqual([20, 10, 40]);
    expect(queryFor('perf_events', ['events.cycles.value'], { from: 1, to: 2 })?.fields).toEqual([
      'events.cycles.value',
      'elapsed_ms',
    ]);
  });

  it('have no min and max per second if ticks differed in length', () => {
    const events = (value: number, elapsed_ms: number) => ({ elapsed_ms, events: { cycles: { value } } });
    const uneven = point(0, events(10, 600), events(5, 200), events(20, 1000));
    const series = seriesOf([uneven], 'perf_events', 'events.cycles.value');
    expect(series.values[0]).toBeCloseTo(16.67, 1);
    expect(series.low[0]).toBeNaN();
  });

  it('have a difference only where both have a point', () => {
    const minute = 60_000;
    const now = seriesOf([point(0, { a: 4 }), point(1, { a: 5 }), point(2, { a: 6 })], 'cpu', 'a');
    const then = seriesOf([point(-60, { a: 1 }), point(-58, { a: 2 })], 'cpu', 'a');
    const { values } = difference(now, shifted(then, HOUR), minute);
    expect([...values]).toEqual([3, NaN, 4]);
    expect(changePercent(3, 2)).toBe(50);
    expect(changePercent(3, 0)).toBeNaN();
  });

  it('are looked up by the bucket that contains the time', () => {
    const times = [0, 60, 120, 600];
    expect(indexAt(times, 59, 60)).toBe(0);
    expect(indexAt(times, 60, 60)).toBe(1);
    expect(indexAt(times, 400, 60)).toBe(-1);
    expect(indexAt(times, -1, 60)).toBe(-1);
    expect(intervalMs('15m')).toBe(900_000);
  });
});

describe('field names', () => {
  it('give the unit', () => {
    const units: [string, string, string][] = [
      ['cpu', 'per_core.3', 'percent'],
      ['cpu', 'load_avg.0', 'count'],
      ['cpu', 'context_switches_per_sec', 'count/s'],
      ['memory', 'used_bytes', 'bytes'],
      ['disk', 'devices.vda.write_latency_ms', 'ms'],
      ['disk', 'io.read_bytes_per_sec', 'bytes/s'],
      ['perf_events', 'events.cycles.value', 'count/s'],
      ['perf_events', 'derived.llc_miss_ratio', 'ratio'],
      ['scheduler', 'runqueue_wait.p99_us', 'us'],
      ['pressure', 'cpu.some.avg10', 'percent'],
      ['network', 'bytes_sent_per_sec', 'bytes/s'],
      ['network', 'packets_recv_per_sec', 'packets/s'],
    ];
    for (const [metric, path, unit] of units) expect(unitOf(metric, path)).toBe(unit);
    expect(scaleOf('memory_bandwidth', 'pgpgin_per_sec')).toBe(1024);
  });

  it('are readable', () => {
    expect(fieldName('cpu', 'per_core.3')).toBe('Core 3');
    expect(fieldName('cpu', 'load_avg.1')).toBe('Load, 5 min');
    expect(fieldName('disk', 'devices.vda.write_latency_ms')).toBe('vda: write latency');
    expect(fieldName('perf_events', 'events.LLC-loads.value')).toBe('LLC-loads');
    expect(fieldName('cpu', 'usage_percent')).toBe('Usage');
    expect(fieldName('disk', 'io.read_bytes_per_sec')).toBe('Read');
    expect(fieldName('pressure', 'io.full.avg60')).toBe('I/O full: 60 s average');
    expect(fieldName('block_io', 'devices.vda.write.p99_us')).toBe('vda write: p99');
    expect(fieldName('processes', 'other_cgroups.cpu_percent')).toBe('Other cgroups: CPU');
    expect(fieldName('pressure', 'cpu.some.stalled_us')).toBe('CPU some: stall time');
    expect(fieldName('processes', 'total.cpu_percent')).toBe('Total: CPU');
  });
});
