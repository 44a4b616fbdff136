import { createPinia, setActivePinia } from 'pinia';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { effectScope, nextTick, type EffectScope } from 'vue';
import { useFreshness } from '@/composables/useFreshness';
import { skipNotes } from '@/format/skips';
import { EpisodeTrack } from '@/series/events';
import { useClockStore } from '@/stores/clock';
import { useLiveStore } from '@/stores/live';

const HOUR = 3600;
const NOW = Date.parse('2026-03-02T12:00:00Z') / 1000;

const snapshot = (second: number, more: object = {}) => ({
  type: 'metrics',
  timestamp: new Date(second * 1000).toISOString(),
  data: {
    cpu: { usage_percent: second },
    processes: { top: [{ pid: 7, comm: 'a', cpu_percent: second }] },
    scheduler: { runqueue_wait: { histogram: { scheme: 'log16', count: 1, buckets: [[40, 1]] } } },
  },
  ...more,
});

describe('the live store and clocks', () => {
  let receive: (message: object) => void;
  let sent: string[];
  let opened: () => void;
  let scope: EffectScope;

  beforeEach(() => {
    vi.useFakeTimers({ now: NOW * 1000 });
    sent = [];
    vi.stubGlobal(
      'WebSocket',
      class {
        onmessage: ((event: { data: string }) => void) | null = null;
        onopen: (() => void) | null = null;
        constructor() {
          receive = (message) => this.onmessage?.({ data: JSON.stringify(message) });
          opened = () => this.onopen?.();
        }
        send(text: string): void {
          sent.push(text);
        }
        close(): void {
          this.onmessage = null;
        }
      },
    );
    setActivePinia(createPinia());
    scope = effectScope();
  });
  afterEach(() => {
    useLiveStore().stop();
    scope.stop();
    vi.unstubAllGlobals();
    vi.useRealTimers();
  });

  function started() {
    const live = useLiveStore();
    live.start();
    opened();
    return live;
  }
  const times = () =>
    [...useLiveStore().ring.slice('cpu.usage_percent', -Infinity).times].map((t) => t / 1000);
  const ticks = (...seconds: number[]) => {
    seconds.forEach((second) => {
      receive(snapshot(second));
    });
  };

  it('goes on at once when the clock is set back', () => {
    const live = started();
    ticks(NOW, NOW + 1, NOW + 2);
    ticks(NOW - 2 * HOUR, NOW - 2 * HOUR + 1);
    expect(times()).toEqual([NOW - 2 * HOUR, NOW - 2 * HOUR + 1]);
    const wait = live.histograms.slice('scheduler.runqueue_wait.histogram', -Infinity, Infinity);
    expect(wait.times.map((time) => time / 1000)).toEqual(times());
  });

  it('keeps what came before a clock that was far ahead for a while', () => {
    started();
    ticks(NOW, NOW + 1);
    ticks(NOW + 10 * 8766 * HOUR, NOW + 10 * 8766 * HOUR + 1);
    ticks(NOW + 4, NOW + 5);
    expect(times()).toEqual([NOW, NOW + 1, NOW + 4, NOW + 5]);
  });

  it('loses one sample to a step back by one', () => {
    started();
    ticks(NOW, NOW + 1, NOW + 2);
    ticks(NOW + 1, NOW + 2, NOW + 3);
    expect(times()).toEqual([NOW, NOW + 1, NOW + 2, NOW + 3]);
  });

  it('redraws the charts after a step back', async () => {
    const live = started();
    ticks(NOW, NOW + 1);
    await vi.advanceTimersByTimeAsync(20);
    const before = live.restarts;
    ticks(NOW + 2);
    await vi.advanceTimersByTimeAsync(20);
    expect(live.restarts).toBe(before);
    ticks(NOW - 5);
    await vi.advanceTimersByTimeAsync(20);
    expect(live.restarts).toBe(before + 1);
  });

  it('is not live on ticks that are not accepted', async () => {
    const live = started();
    receive({ ...snapshot(NOW), interval_ms: 1000 });
    const freshness = scope.run(useFreshness)!;
    for (let i = 0; i < 5; i += 1) {
      await vi.advanceTimersByTimeAsync(1000);
      ticks(NOW);
    }
    await nextTick();
    expect(freshness.value.kind).toBe('stale');
    expect(live.ring.size).toBe(1);
  });

  it('tells stale data by time that passed, even if this browser’s clock was set back', async () => {
    started();
    receive({ ...snapshot(NOW), interval_ms: 1000 });
    const freshness = scope.run(useFreshness)!;
    vi.setSystemTime((NOW - HOUR) * 1000);
    await vi.advanceTimersByTimeAsync(5000);
    expect(freshness.value.label).toBe('Stale, 5 s old');
  });

  it('checks the connection after a suspend', async () => {
    started();
    await vi.advanceTimersByTimeAsync(5000);
    expect(sent).toEqual([]);
    vi.setSystemTime((NOW + HOUR) * 1000);
    await vi.advanceTimersByTimeAsync(5000);
    expect(sent).toEqual(['{"type":"ping"}']);
    // Without a pong the connection is given up.
    await vi.advanceTimersByTimeAsync(10_000);
    expect(useLiveStore().connection.kind).toBe('waiting');
  });

  it('knows the server’s clock from ticks, but not from the first, which may be old', () => {
    started();
    const clock = useClockStore();
    ticks(NOW - 2 * HOUR);
    expect(clock.offsetMs).toBe(0);
    ticks(NOW - 2 * HOUR + 1);
    expect(clock.offsetMs).toBe((1 - 2 * HOUR) * 1000);
    expect(clock.now()).toBe((NOW - 2 * HOUR + 1) * 1000);
    ticks(NOW);
    expect(clock.offsetMs).toBe(0);
  });

  it('has no server’s clock within a minute or two intervals', () => {
    const clock = useClockStore();
    clock.observe((NOW - 50) * 1000, 1000);
    expect(clock.offsetMs).toBe(0);
    clock.observe((NOW - 100) * 1000, 60_000);
    expect(clock.offsetMs).toBe(0);
    clock.observe((NOW + 500) * 1000, 1000);
    clock.observe((NOW + 501) * 1000, 1000);
    expect(clock.offsetMs).toBe(500_000);
  });

  it('uses the interval that the server announces', async () => {
    const live = started();
    receive(snapshot(NOW + 3.7, { interval_ms: 5000 }));
    await vi.advanceTimersByTimeAsync(20);
    expect(live.intervalMs).toBe(5000);
    receive(snapshot(NOW + 6, { interval_ms: 1000 }));
    await vi.advanceTimersByTimeAsync(20);
    expect(live.intervalMs).toBe(1000);
  });

  it('estimates the interval despite a short first tick and a gap', async () => {
    const live = started();
    ticks(NOW + 4.7, NOW + 5, NOW + 10);
    await vi.advanceTimersByTimeAsync(20);
    expect(live.intervalMs).toBe(5000);
    ticks(NOW + 15, NOW + 600, NOW + 605);
    await vi.advanceTimersByTimeAsync(20);
    expect(live.intervalMs).toBe(5000);
  });

  it('remembers skipped ticks with the time they were missed', () => {
    const live = started();
    ticks(NOW);
    receive(snapshot(NOW + 5, { skipped: 4, skipped_by: 'server' }));
    const time = (NOW + 5) * 1000;
    expect(live.skips).toEqual([{ time, count: 4, cause: 'server' }]);
    receive(snapshot(NOW + 9, { missed: { ticks: 3, cause: 'cpu_quota' } }));
    expect(live.skips[1]).toEqual({ time: time + 4000, count: 3, cause: 'cpu_quota' });
    const told = '3 ticks were not taken: the server was throttled by its CPU quota.';
    expect(skipNotes(live.skips, time + 4000)).toEqual([
      '4 ticks were not sent in time: the server was too busy.',
      told,
    ]);
    expect(skipNotes(live.skips, time + 62_000)).toEqual([told]);
    expect(skipNotes(live.skips, time + 65_000)).toEqual([]);
    ticks(NOW + 1);
    expect(live.skips).toEqual([]);
  });
});

describe('episodes and a clock that is set back', () => {
  const throttled = (second: number) => ({
    kind: 'cgroup_throttled',
    timestamp: new Date(second * 1000).toISOString(),
    cgroup: '/a',
    throttled_ms: 10,
  });

  it('drops later ones, cuts lasting ones, and accepts events again', () => {
    const track = new EpisodeTrack();
    track.push([1, 2, 3].map(throttled));
    track.push([throttled(500)]);
    track.rewind(3000);
    expect(track.list.map(({ from, to }) => [from, to])).toEqual([[1000, 2999]]);
    expect(track.push([throttled(3)])).toBe(true);
    expect(track.list.map(({ from, to }) => [from, to])).toEqual([[1000, 3000]]);
  });
});
