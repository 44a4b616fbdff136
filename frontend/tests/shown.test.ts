import { createPinia, setActivePinia } from 'pinia';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { nextTick } from 'vue';
import * as api from '@/api/history';
import type { PointsQuery } from '@/api/history';
import { ApiError } from '@/api/http';
import type { History } from '@/api/types';
import { useCursorStore } from '@/stores/cursor';
import { useLiveStore } from '@/stores/live';
import { useShownStore } from '@/stores/shown';
import { useTimeStore } from '@/stores/time';

vi.mock('@/api/history');

const MINUTE = 60_000;
const START = Date.parse('2026-03-02T12:00:00Z');
const USAGE = 'cpu.usage_percent';

/** A store that has a value for each second: how many seconds it is after `START`. */
function answer({ metricType, from, to, fields, interval }: PointsQuery): History {
  const point = (at: number, value: number, high: number, count: number) => ({
    timestamp: new Date(at).toISOString(),
    data: metricType === 'cpu' ? { usage_percent: value } : {},
    min: {},
    max: metricType === 'cpu' ? { usage_percent: high } : {},
    count,
  });
  const value = (at: number): number => (at - START) / 1000;
  const points = [];
  if (metricType !== 'cpu' || fields.includes('events')) {
    // Nothing else was stored.
  } else if (interval === 'range') points.push(point(from, value((from + to) / 2), value(to), 9));
  else for (let at = from; at <= to; at += 1000) points.push(point(at, value(at), value(at), 1));
  return { data_points: points, interval } as unknown as History;
}

const asked = () => vi.mocked(api.points).mock.calls.map(([query]) => query);
const ofCpu = () =>
  asked().filter(({ metricType, fields }) => metricType === 'cpu' && fields.includes('per_core'));

async function settled(): Promise<void> {
  await nextTick();
  await vi.waitFor(() => {
    expect(useShownStore().busy).toBe(false);
  });
}

/** The stream brings the seconds from `first` to `last`. */
function stream(first: number, last: number): void {
  const live = useLiveStore();
  live.intervalMs = 1000;
  for (let second = first; second <= last; second += 1)
    live.ring.push(START + second * 1000, [[USAGE, second]]);
  live.version += 1;
}

function drawn(): number[] {
  const shown = useShownStore();
  return [...shown.series(USAGE, useTimeStore().span).values].filter((value) => !Number.isNaN(value));
}
const secondsFrom = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, i) => first + i);

describe('what the dashboard shows', () => {
  beforeEach(() => {
    localStorage.clear();
    setActivePinia(createPinia());
    vi.mocked(api.points).mockReset();
    vi.mocked(api.noted).mockResolvedValue([]);
    vi.mocked(api.points).mockImplementation((query) => Promise.resolve(answer(query)));
    useTimeStore().choose({ last: MINUTE });
  });

  it('is the stream alone, if that fills the window', async () => {
    stream(0, 100);
    useShownStore().enter();
    await nextTick();
    expect(asked()).toEqual([]);
    expect(drawn()).toEqual(secondsFrom(39, 100));
  });

  it('begins in the store and goes on in the stream, without a gap or a second twice', async () => {
    stream(95, 100);
    useShownStore().enter();
    await settled();
    expect(ofCpu()).toMatchObject([{ from: START + 40_000, interval: '1s' }]);
    expect(drawn().filter((value) => value >= 40)).toEqual(secondsFrom(40, 100));
    // What follows comes from the stream.
    stream(101, 110);
    await nextTick();
    expect(ofCpu()).toHaveLength(1);
    expect(drawn().filter((value) => value >= 50)).toEqual(secondsFrom(50, 110));
  });

  it('fills the hole that a pause of the connection left', async () => {
    stream(95, 100);
    useShownStore().enter();
    useLiveStore().restarts += 1;
    await settled();
    stream(130, 140);
    useLiveStore().restarts += 1;
    await settled();
    expect(ofCpu()).toHaveLength(2);
    expect(drawn().filter((value) => value >= 80)).toEqual(secondsFrom(80, 140));
  });

  it('is a past range with its averages and maxima, and the values under the crosshair', async () => {
    const [time, shown] = [useTimeStore(), useShownStore()];
    time.choose({ from: START + 10_000, to: START + 20_000 });
    shown.enter();
    expect(shown.hasData).toBe(false);
    await settled();
    expect(drawn().filter((value) => value >= 10)).toEqual(secondsFrom(10, 19));
    expect(shown.documents.cpu?.usage_percent).toBe(shown.average(USAGE));
    expect(shown.average(USAGE)).toBeCloseTo(15, 1);
    expect(shown.peak(USAGE)).toBeCloseTo(20, 1);
    expect(shown.reading(USAGE)).toBe(shown.average(USAGE));
    useCursorStore().time = START + 12_300;
    expect(shown.reading(USAGE)).toBe(12);
    // Outside of the range the crosshair says nothing.
    useCursorStore().time = START + 99_000;
    expect(shown.reading(USAGE)).toBe(shown.average(USAGE));
  });

  it('asks for the last of several choices only, and stops when the page is left', async () => {
    const [time, shown] = [useTimeStore(), useShownStore()];
    shown.enter();
    const signals: AbortSignal[] = [];
    vi.mocked(api.points).mockImplementation((query, signal) => {
      signals.push(signal!);
      return Promise.resolve(answer(query));
    });
    time.choose({ from: START, to: START + 30_000 });
    await nextTick();
    const earlier = [...signals];
    expect(earlier.length).toBeGreaterThan(0);
    time.choose({ from: START + 60_000, to: START + 90_000 });
    await nextTick();
    expect(earlier.every(({ aborted }) => aborted)).toBe(true);
    await settled();
    expect(shown.average(USAGE)).toBeCloseTo(75, 1);
    const count = asked().length;
    shown.leave();
    time.choose({ from: START, to: START + 30_000 });
    await nextTick();
    expect(asked()).toHaveLength(count);
  });

  it('says why there is nothing', async () => {
    const [time, shown] = [useTimeStore(), useShownStore()];
    vi.mocked(api.points).mockRejectedValue(new ApiError('The database does not respond.', 503));
    time.choose({ from: START, to: START + 30_000 });
    shown.enter();
    await settled();
    expect(shown.error).toBe('The database does not respond.');
    expect(shown.isEmpty).toBe(false);
    vi.mocked(api.points).mockResolvedValue({ data_points: [] } as unknown as History);
    await shown.reload();
    expect([shown.error, shown.isEmpty]).toEqual([null, true]);
  });
});

describe('a distribution', () => {
  const WAITS = 'scheduler.runqueue_wait';
  const ofWaits = () => asked().filter(({ fields }) => fields.includes('runqueue_wait.histogram'));

  beforeEach(() => {
    localStorage.clear();
    setActivePinia(createPinia());
    vi.mocked(api.points).mockReset();
    vi.mocked(api.noted).mockResolvedValue([]);
    vi.mocked(api.points).mockImplementation((query) => {
      const histogram = { scheme: 'log16', buckets: [[64, 2]], count: 2 };
      const isAsked = query.fields.includes('runqueue_wait.histogram');
      const data = isAsked ? { runqueue_wait: { histogram, p50_us: 3 } } : {};
      const timestamp = new Date(query.from).toISOString();
      return Promise.resolve({ data_points: [{ timestamp, data, count: 1 }] } as unknown as History);
    });
    useTimeStore().choose({ from: START, to: START + MINUTE });
  });

  it('is asked for when it comes into view, and once', async () => {
    const shown = useShownStore();
    shown.enter();
    await settled();
    expect(ofWaits()).toEqual([]);
    const leaves = [shown.enterView(WAITS), shown.enterView(WAITS)];
    expect(shown.coming.has(WAITS)).toBe(true);
    await vi.waitFor(() => {
      expect(shown.coming.size).toBe(0);
    });
    expect(ofWaits()).toHaveLength(1);
    const span = useTimeStore().span;
    expect(shown.columns(`${WAITS}.histogram`, span).columns).toHaveLength(1);
    expect([...shown.series(`${WAITS}.p50_us`, span).values]).toEqual([3]);
    leaves.forEach((leave) => {
      leave();
    });
    shown.enterView(WAITS)();
    expect(ofWaits()).toHaveLength(1);
  });

  it('of another range is loaded if it is still in view, and dropped otherwise', async () => {
    const [shown, time] = [useShownStore(), useTimeStore()];
    shown.enter();
    const leave = shown.enterView(WAITS);
    await settled();
    for (const [minute, isInView] of [
      [2, true],
      [4, false],
    ] as const) {
      if (!isInView) leave();
      const before = ofWaits().length;
      time.choose({ from: START + minute * MINUTE, to: START + (minute + 1) * MINUTE });
      await settled();
      expect(ofWaits().length - before).toBe(isInView ? 1 : 0);
    }
    expect(shown.columns(`${WAITS}.histogram`, time.span).columns).toEqual([]);
  });
});
