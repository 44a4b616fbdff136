import { describe, expect, it } from 'vitest';
import type { ColumnsQuery } from '@/api/history';
import { KnownColumns } from '@/api/knownColumns';
import type { ColumnsOfType } from '@/api/types';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const LATER = 99 * HOUR;

function query(from: number, to: number, fields: string[], more: Partial<ColumnsQuery> = {}): ColumnsQuery {
  return { from: from * MINUTE, to: to * MINUTE - 1, fields, interval: '1m', ...more };
}

/** A point for each minute, whose value is the minute. */
function line(from: number, to: number, paths: string[], more: Partial<ColumnsOfType> = {}): ColumnsOfType {
  const minutes = Array.from({ length: to - from }, (_, i) => from + i);
  const lists = Object.fromEntries(paths.map((path) => [path, minutes]));
  return {
    metric_type: 'cpu',
    interval: '1m',
    times: minutes.map((minute) => minute * MINUTE),
    count: minutes.map(() => 12),
    average: lists,
    min: lists,
    max: lists,
    histograms: {},
    truncated: false,
    ...more,
  };
}

const whole = { timestamp: '1970-01-01T00:00:00Z', data: { usage_percent: 7 } } as ColumnsOfType['whole'];

describe('known columns', () => {
  it('have the points of a range within another one, but not its average as a whole', () => {
    const known = new KnownColumns();
    const wide = query(0, 60, ['cpu.usage_percent'], { averages: ['cpu.user'], whole: ['cpu'] });
    known.remember('a', wide, [line(0, 60, ['usage_percent', 'user'], whole ? { whole } : {})], LATER);
    const narrow = query(20, 24, ['cpu.usage_percent', 'memory.usage_percent'], { whole: ['cpu', 'memory'] });
    const { known: found, rest } = known.split('a', narrow);
    expect(found.get('cpu')).toMatchObject({
      times: [20, 21, 22, 23].map((minute) => minute * MINUTE),
      count: [12, 12, 12, 12],
      average: { usage_percent: [20, 21, 22, 23] },
      max: { usage_percent: [20, 21, 22, 23] },
    });
    expect(found.get('cpu')).not.toHaveProperty('whole');
    expect(rest).toMatchObject({ fields: ['memory.usage_percent'], averages: [], whole: ['cpu', 'memory'] });

    // The same range again.
    const again = known.split('a', wide);
    expect(again.known.get('cpu')).toMatchObject({ whole });
    expect(again.rest).toMatchObject({ fields: [], averages: [], whole: [] });
  });

  it('are not those of another machine, interval or range, nor of fields without their extremes', () => {
    const known = new KnownColumns();
    const wide = query(10, 60, ['cpu.usage_percent'], { averages: ['cpu.user'] });
    known.remember('a', wide, [line(10, 60, ['usage_percent', 'user'])], LATER);
    const others: [string | null, ColumnsQuery][] = [
      ['b', query(20, 24, ['cpu.usage_percent'])],
      [null, query(20, 24, ['cpu.usage_percent'])],
      ['a', query(20, 24, ['cpu.usage_percent'], { interval: '5m' })],
      ['a', query(9, 24, ['cpu.usage_percent'])],
      ['a', query(20, 61, ['cpu.usage_percent'])],
      ['a', query(20, 24, ['cpu.usage_percent', 'cpu.user'])],
      ['a', query(20, 24, ['cpu.usage_percent', 'cpu.load_avg'])],
    ];
    for (const [host, other] of others) {
      const { known: found, rest } = known.split(host, other);
      expect([found.size, rest.fields]).toEqual([0, other.fields]);
    }
    expect(
      known.split('a', query(20, 24, [], { averages: ['cpu.user', 'cpu.usage_percent'] })).known.size,
    ).toBe(1);
  });

  it('are not taken from where something may still be added, nor from an answer that was cut short', () => {
    const known = new KnownColumns();
    const wide = query(0, 60, ['cpu.usage_percent']);
    known.remember(null, wide, [line(0, 60, ['usage_percent'])], 50 * MINUTE);
    expect(known.split(null, query(40, 50, ['cpu.usage_percent'])).known.size).toBe(1);
    expect(known.split(null, query(40, 51, ['cpu.usage_percent'])).known.size).toBe(0);
    expect(known.split(null, wide).known.size).toBe(0);

    const cut = new KnownColumns();
    cut.remember(null, wide, [line(0, 60, ['usage_percent'], { truncated: true })], LATER);
    expect(cut.split(null, query(10, 20, ['cpu.usage_percent'])).known.size).toBe(0);
  });

  it('are put together from several answers about the same points', () => {
    const known = new KnownColumns();
    known.remember(null, query(0, 60, ['cpu.usage_percent']), [line(0, 60, ['usage_percent'])], LATER);
    const detail = line(10, 40, [], { histograms: { wait: Array.from({ length: 30 }, (_, i) => [i, 1]) } });
    known.remember(null, query(10, 40, [], { averages: ['cpu.wait'] }), [detail], LATER);
    const wanted = query(12, 14, ['cpu.usage_percent'], { averages: ['cpu.wait'] });
    const both = known.split(null, wanted).known.get('cpu');
    expect([both?.average.usage_percent, both?.histograms.wait]).toEqual([
      [12, 13],
      [
        [2, 1],
        [3, 1],
      ],
    ]);
    expect(
      known.split(null, query(5, 14, ['cpu.usage_percent'], { averages: ['cpu.wait'] })).known.size,
    ).toBe(0);
  });

  it('leave out what the range has nothing of', () => {
    const known = new KnownColumns();
    const gone = { sda: [1, 2, null, null] };
    const disks = line(0, 4, [], { average: gone, min: gone, max: gone });
    known.remember(null, query(0, 4, ['cpu.devices']), [disks], LATER);
    const { known: found } = known.split(null, query(2, 4, ['cpu.devices']));
    expect(found.get('cpu')).toMatchObject({ average: {}, min: {}, max: {} });
  });
});
