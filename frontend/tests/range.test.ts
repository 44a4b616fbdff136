import { describe, expect, it } from 'vitest';
import {
  aligned,
  intervalFor,
  isLive,
  lengthText,
  pan,
  parseLength,
  rangeIn,
  rangeQuery,
  resolve,
  select,
  zoom,
  zoomLive,
} from '@/series/range';
import { gripAt, moved, overviewOf } from '@/series/overview';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const NOW = Date.parse('2026-03-02T12:00:00Z');

describe('a range in the URL', () => {
  it('round-trips, live or absolute', () => {
    const ranges = [{ last: 300_000 }, { last: DAY }, { last: 7 * DAY }, { from: NOW - HOUR, to: NOW - 500 }];
    for (const range of ranges) expect(rangeIn(rangeQuery(range))).toEqual(range);
    expect(rangeQuery({ last: DAY }).range).toBe('24h');
    expect(rangeQuery({ from: NOW - HOUR, to: NOW })).toEqual({
      range: undefined,
      from: '2026-03-02T11:00:00Z',
      to: '2026-03-02T12:00:00Z',
    });
  });

  it('is none where the URL has none or nonsense', () => {
    const nonsense = [
      {},
      { range: '9y' },
      { range: '1s' },
      { range: '9999d' },
      { from: 'b', to: '3' },
      { from: '2026-01-02', to: '2026-01-01' },
      { from: ['2026-01-01'] },
    ];
    for (const query of nonsense) expect(rangeIn(query)).toBeNull();
  });

  it('spells lengths as short as possible', () => {
    expect([90_000, 60_000, HOUR, DAY, 2 * DAY, 36 * HOUR].map(lengthText)).toEqual([
      '90s',
      '1m',
      '1h',
      '24h',
      '2d',
      '36h',
    ]);
    expect([parseLength('90s'), parseLength('1d'), parseLength('5'), parseLength('-5m')]).toEqual([
      90_000,
      DAY,
      null,
      null,
    ]);
  });
});

describe('ranges', () => {
  const span = { from: NOW - 2 * HOUR, to: NOW - HOUR };

  it('that are live end now', () => {
    expect(resolve({ last: 6 * HOUR }, NOW)).toEqual({ from: NOW - 6 * HOUR, to: NOW });
    expect(resolve(span, NOW)).toBe(span);
  });

  it('zoom around a fixed time', () => {
    const at = span.from + HOUR / 4;
    const closer = zoom(span, 0.5, at, NOW);
    expect(closer.to - closer.from).toBe(HOUR / 2);
    expect((at - closer.from) / (closer.to - closer.from)).toBeCloseTo(0.25);
    expect(zoom(span, 10, span.from, NOW).to).toBe(NOW);
  });

  it('stay live when a live one is zoomed', () => {
    expect(zoomLive({ last: 300_000 }, true)).toEqual({ last: 60_000 });
    expect(zoomLive({ last: 300_000 }, false)).toEqual({ last: 900_000 });
    expect(zoomLive({ last: 200_000 }, false)).toEqual({ last: 300_000 });
    expect(zoomLive({ last: 60_000 }, true)).toEqual({ last: 60_000 });
  });

  it('become live when they are moved to the right end, and end there', () => {
    expect(pan(span, -0.5, NOW)).toEqual({ from: span.from - HOUR / 2, to: span.to - HOUR / 2 });
    expect(pan(span, 0.5, NOW)).toEqual({ from: span.from + HOUR / 2, to: span.to + HOUR / 2 });
    expect(pan(span, 1, NOW)).toEqual({ last: HOUR });
    expect(isLive(pan(span, 5, NOW))).toBe(true);
    // Time passes between a step back and a step forward.
    expect(isLive(pan({ from: NOW - 450_000, to: NOW - 155_000 }, 0.5, NOW))).toBe(true);
  });

  it('have a minimum length and whole seconds, and are selected in either direction', () => {
    const shortest = select(NOW - HOUR, NOW - HOUR, NOW);
    expect(shortest.to - shortest.from).toBe(10_000);
    expect(select(NOW - HOUR + 123.4, NOW - 2 * HOUR + 400, NOW)).toEqual({
      from: NOW - 2 * HOUR,
      to: NOW - HOUR,
    });
  });

  it('are asked for as finely as fits, and in whole points', () => {
    const length = (ms: number) => intervalFor(ms, 900).name;
    expect([10_000, 900_000, 901_000, HOUR, DAY, 7 * DAY, 30 * DAY, 3000 * DAY].map(length)).toEqual([
      '1s',
      '1s',
      '5s',
      '5s',
      '5m',
      '15m',
      '1h',
      '1d',
    ]);
    expect(aligned({ from: 61_000, to: 119_000 }, 60_000)).toEqual({ from: 60_000, to: 119_999 });
    // Ten seconds at one sample a second are ten points, not eleven.
    expect(aligned({ from: 10_000, to: 20_000 }, 1000)).toEqual({ from: 10_000, to: 19_999 });
  });
});

describe('the overview', () => {
  const midnight = (ms: number) => Math.floor(ms / DAY) * DAY;
  const of = (from: number, to: number, previous: { from: number; to: number } | null = null) =>
    overviewOf({ from, to }, NOW, midnight, previous);

  it('is the last day as long as the range is in it, else the day of the range', () => {
    expect(of(NOW - HOUR, NOW)).toEqual({ from: NOW - DAY, to: NOW });
    const day = midnight(NOW - 3 * DAY);
    expect(of(day + HOUR, day + 2 * HOUR)).toEqual({ from: day, to: day + DAY });
    expect(of(day - HOUR, day + HOUR)).toEqual({ from: day - DAY / 2, to: day + DAY / 2 });
  });

  it('stays while the range moves in it, and contains longer ranges with what is around them', () => {
    const previous = { from: NOW - 5 * DAY, to: NOW - 4 * DAY };
    expect(of(previous.from + 1, previous.from + HOUR, previous)).toBe(previous);
    const week = of(NOW - 7 * DAY, NOW);
    expect(week).toEqual({ from: NOW - 10.5 * DAY, to: NOW });
    const past = of(NOW - 20 * DAY, NOW - 10 * DAY);
    expect(past).toEqual({ from: NOW - 22.5 * DAY, to: NOW - 7.5 * DAY });
  });

  it('has a window whose edges and middle can be gripped, however narrow it is', () => {
    expect([gripAt(100, 100, 300), gripAt(300, 100, 300), gripAt(200, 100, 300)]).toEqual([
      'from',
      'to',
      'window',
    ]);
    expect([gripAt(95, 100, 106), gripAt(103, 100, 106), gripAt(112, 100, 106)]).toEqual([
      'from',
      'window',
      'to',
    ]);
    expect([gripAt(50, 100, 106), gripAt(150, 100, 106)]).toEqual([null, null]);
  });

  it('moves an edge up to the other one, and the window as a whole', () => {
    const range = { from: 0, to: 60_000 };
    expect(moved(range, 'from', 90_000, 10_000)).toEqual({ from: 50_000, to: 60_000 });
    expect(moved(range, 'to', -90_000, 10_000)).toEqual({ from: 0, to: 10_000 });
    expect(moved(range, 'window', 5, 10_000)).toEqual({ from: 5, to: 60_005 });
  });
});
