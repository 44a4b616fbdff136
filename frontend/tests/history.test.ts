import { describe, expect, it } from 'vitest';
import type { DataPoint } from '@/api/types';
import { comparedWith, parseView, viewQuery, type HistoryView } from '@/series/historyView';
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

const HOUR = 3_600_000;
const NOW = Date.parse('2026-03-02T12:00:00Z');

describe('the URL of a view', () => {
  const cpu = { metric: 'cpu', fields: ['usage_percent'] };
  const latency = { metric: 'disk', fields: ['devices.vda.write_latency_ms', 'io.read_bytes_per_sec'] };
  const views: HistoryView[] = [
    { mode: 'board', panels: [cpu], board: null, comparison: 'before' },
    { mode: 'board', panels: [latency, cpu, latency], board: 'Disks & cores', comparison: 'before' },
    { mode: 'board', panels: [], board: null, comparison: 'before' },
    { mode: 'compare', panels: [latency, cpu], board: null, comparison: { earlier: 25 * HOUR } },
    { mode: 'changes', panels: [cpu], board: null, comparison: 'last_week' },
  ];

  it('round-trips', () => {
    for (const view of views) expect(parseView(viewQuery(view))).toEqual(view);
  });

  it('names every panel, so that a link stays what it was', () => {
    expect(viewQuery(parseView({}))).toEqual({
      p: [
        'cpu:usage_percent',
        'memory:usage_percent',
        'disk:io.read_bytes_per_sec,io.write_bytes_per_sec',
        'network:bytes_recv_per_sec,bytes_sent_per_sec',
      ],
    });
  });

  it('reads addresses of one metric', () => {
    expect(parseView({ metric: 'cpu', fields: 'user,,system' }).panels).toEqual([
      { metric: 'cpu', fields: ['user', 'system'] },
    ]);
    expect(parseView({ metric: 'memory' }).panels).toEqual([{ metric: 'memory', fields: ['usage_percent'] }]);
    expect(parseView({ metric: 'nonsense' }).panels).toEqual([]);
  });

  it('falls back to the defaults on nonsense', () => {
    const view = parseView({
      mode: 'x',
      earlier: '9y',
      against: ['?'],
      p: ['cpu', ':user', 'CPU:user', null],
    });
    expect([view.mode, view.comparison, view.panels]).toEqual(['board', 'before', []]);
  });

  it('takes no more panels and fields than can be shown', () => {
    const panel = `cpu:${Array.from({ length: 12 }, (_, i) => `f${i.toString()}`).join()}`;
    const { panels } = parseView({ p: Array.from({ length: 99 }, () => panel) });
    expect([panels.length, panels[0]?.fields.length]).toEqual([24, 8]);
  });

  it('compares a range with the time before, the same time earlier, or any start', () => {
    const span = { from: NOW - 2 * HOUR, to: NOW - HOUR };
    const by = (hours: number) => ({ from: span.from - hours * HOUR, to: span.to - hours * HOUR });
    expect(comparedWith('before', span)).toEqual(by(1));
    expect(comparedWith('yesterday', span)).toEqual(by(24));
    expect(comparedWith('last_week', span)).toEqual(by(168));
    expect(comparedWith({ earlier: 3 * HOUR }, span)).toEqual(by(3));
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

  it('are the average and the extremes of all cores, where all are meant', () => {
    const cores = (...per_core: (number | null)[]) => ({ per_core });
    const series = seriesOf([point(0, cores(1, null, 3), cores(0, 2), cores(4, 9))], 'cpu', 'per_core');
    expect([series.values[0], series.low[0], series.high[0]]).toEqual([2, 0, 9]);
    expect(queryFor('cpu', ['per_core.1'], { from: 1, to: 2 })?.fields).toEqual(['per_core.1']);
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
