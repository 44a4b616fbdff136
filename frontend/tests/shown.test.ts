import { createPinia, setActivePinia } from 'pinia';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { nextTick, watch } from 'vue';
import * as api from '@/api/history';
import type { ColumnsQuery } from '@/api/history';
import { ApiError } from '@/api/http';
import type { ColumnsOfType, History } from '@/api/types';
import { useCursorStore } from '@/stores/cursor';
import { useLiveStore } from '@/stores/live';
import { useShownStore } from '@/stores/shown';
import { useTimeStore } from '@/stores/time';

vi.mock('@/api/history');

const MINUTE = 60_000;
const START = Date.parse('2026-03-02T12:00:00Z');
const USAGE = 'cpu.usage_percent';

/** A store that has a value for each second: how many seconds it is after `START`. */
function answer({ from, to, fields, averages = [], whole = [] }: ColumnsQuery): ColumnsOfType[] {
  const value = (at: number): number => (at - START) / 1000;
  const times: number[] = [];
  for (let at = from; at <= to; at += 1000) times.push(at);
  const empty = { interval: '1s', times: [], count: [], average: {}, histograms: {}, truncated: false };
  const document = {
    timestamp: new Date(from).toISOString(),
    data: { usage_percent: value((from + to) / 2) },
    max: { usage_percent: value(to) },
  };
  const types = [...new Set([...fields, ...averages, ...whole].map((field) => field.split('.', 1)[0] ?? ''))];
  return types.map((metric_type) =>
    metric_type === 'cpu'
      ? {
          ...empty,
          metric_type,
          times,
          count: times.map(() => 1),
          average: { usage_percent: times.map(value) },
          ...(whole.some((of) => of.startsWith('cpu')) && times.length > 0 ? { whole: document } : {}),
        }
      : { ...empty, metric_type },
  );
}

const asked = () => vi.mocked(api.columns).mock.calls.map(([query]) => query);

function respond(respond: (query: ColumnsQuery) => ColumnsOfType[]): void {
  vi.mocked(api.columns).mockReset();
  vi.mocked(api.columns).mockImplementation(async (query, each) => {
    await nextTick();
    respond(query).forEach(each);
  });
  vi.mocked(api.noted).mockResolvedValue([]);
  vi.mocked(api.points).mockResolvedValue({ data_points: [] } as unknown as History);
}

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
    respond(answer);
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
    expect(asked()).toMatchObject([{ from: START + 40_000, interval: '1s' }]);
    expect(drawn().filter((value) => value >= 40)).toEqual(secondsFrom(40, 100));
    // What follows comes from the stream.
    stream(101, 110);
    await nextTick();
    expect(asked()).toHaveLength(1);
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
    expect(asked()).toHaveLength(2);
    expect(drawn().filter((value) => value >= 80)).toEqual(secondsFrom(80, 140));
  });

  it('is a past range with its averages and maxima, and the values under the crosshair', async () => {
    const [time, shown] = [useTimeStore(), useShownStore()];
    time.choose({ from: START + 10_000, to: START + 20_000 });
    shown.enter();
    // Nothing is missing yet.
    expect([shown.hasData, shown.complete, shown.isEmpty]).toEqual([false, false, false]);
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
    vi.mocked(api.columns).mockImplementation((query, each, signal) => {
      signals.push(signal);
      answer(query).forEach(each);
      return Promise.resolve();
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

  it('is drawn once for each choice: when all that is in view has come', async () => {
    const [time, shown] = [useTimeStore(), useShownStore()];
    time.choose({ from: START, to: START + 30_000 });
    shown.enter();
    shown.enterView('#cpu');
    shown.enterView('scheduler.runqueue_wait');
    await settled();
    const drawings: number[] = [];
    const stop = watch(
      () => shown.series(USAGE, shown.span),
      ({ values }) => drawings.push(values.length),
    );
    time.choose({ from: START + 60_000, to: START + 70_000 });
    await nextTick();
    expect([shown.busy, drawings]).toEqual([true, []]);
    await settled();
    // What comes of cards out of sight changes nothing of those in view.
    await vi.waitFor(() => {
      expect(shown.complete).toBe(true);
    });
    await nextTick();
    expect(drawings).toEqual([10]);
    stop();
  });

  it('asks first for what is in view, and for the rest once that is drawn', async () => {
    const [time, shown] = [useTimeStore(), useShownStore()];
    time.choose({ from: START, to: START + 30_000 });
    shown.enter();
    await settled();
    expect(shown.complete).toBe(true);
    shown.enterView('#overview');
    shown.enterView('#memory');
    time.choose({ from: START + 60_000, to: START + 90_000 });
    await nextTick();
    const first = asked().at(-1);
    expect(first?.fields).toContain(USAGE);
    expect(first?.fields).toContain('pressure.cpu.some.avg10');
    expect(first?.fields.filter((field) => field.startsWith('tcp.'))).toEqual([]);
    expect(first?.averages).toContain('memory.free_bytes');
    expect(first?.whole).toContain('memory');
    expect(first?.whole).toContain('cpu.load_avg.0');
    expect(first?.whole).not.toContain('cpu');
    const seen: unknown[] = [];
    const stop = watch(
      () => shown.busy,
      () => seen.push([shown.complete, Math.round(shown.average(USAGE)), drawn()]),
    );
    await settled();
    stop();
    // The overview has its readings, but not all has come.
    expect(seen).toEqual([[false, 75, secondsFrom(60, 89)]]);
    await vi.waitFor(() => {
      expect(shown.complete).toBe(true);
    });
    const later = asked().at(-1);
    expect(later?.averages).toContain('cpu.user');
    expect(later?.whole).toContain('cpu');
    expect(later?.whole).not.toContain('memory');
    expect(shown.average(USAGE)).toBeCloseTo(75, 1);
    // One step back, to what is known already.
    time.choose({ from: START, to: START + 30_000 });
    await settled();
    const count = asked().length;
    time.choose({ from: START + 60_000, to: START + 90_000 });
    await nextTick();
    expect(shown.busy).toBe(true);
    await settled();
    await vi.waitFor(() => {
      expect(shown.complete).toBe(true);
    });
    expect([asked().length, Math.round(shown.average(USAGE))]).toEqual([count, 75]);
  });

  it('has the points of a range within the one before, and asks only for its averages', async () => {
    const [time, shown] = [useTimeStore(), useShownStore()];
    time.choose({ from: START, to: START + 60_000 });
    shown.enter();
    await settled();
    time.choose({ from: START + 20_000, to: START + 30_000 });
    await settled();
    expect(asked().at(-1)).toMatchObject({ fields: [], averages: [] });
    expect(asked().at(-1)?.whole).toContain('cpu');
    expect(drawn().filter((value) => value >= 20)).toEqual(secondsFrom(20, 29));
    expect(shown.average(USAGE)).toBeCloseTo(25, 1);
    expect(shown.peak(USAGE)).toBeCloseTo(30, 1);
  });

  it('says why there is nothing', async () => {
    const [time, shown] = [useTimeStore(), useShownStore()];
    vi.mocked(api.columns).mockRejectedValue(new ApiError('The database does not respond.', 503));
    time.choose({ from: START, to: START + 30_000 });
    shown.enter();
    await settled();
    expect(shown.error).toBe('The database does not respond.');
    expect(shown.isEmpty).toBe(false);
    respond((query) => answer({ ...query, from: 1, to: 0 }));
    await shown.reload();
    expect([shown.error, shown.isEmpty]).toEqual([null, true]);
  });
});

describe('a distribution', () => {
  const WAITS = 'scheduler.runqueue_wait';
  const ofWaits = () => asked().filter(({ averages }) => averages?.includes(`${WAITS}.histogram`));

  beforeEach(() => {
    localStorage.clear();
    setActivePinia(createPinia());
    respond((query) =>
      answer(query).map((one) => {
        const isAsked = one.metric_type === 'scheduler' && query.averages?.includes(`${WAITS}.histogram`);
        return {
          ...one,
          times: [query.from],
          count: [1],
          average: isAsked ? { 'runqueue_wait.p50_us': [3] } : {},
          histograms: isAsked ? { 'runqueue_wait.histogram': [[16, 2]] } : {},
        };
      }),
    );
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
