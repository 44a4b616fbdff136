import { createPinia, setActivePinia } from 'pinia';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { useLiveStore } from '@/stores/live';

const snapshot = (second: number) => ({
  type: 'metrics',
  timestamp: new Date(second * 1000).toISOString(),
  data: {
    cpu: { usage_percent: second },
    scheduler: { runqueue_wait: { histogram: { scheme: 'log16', count: 1, buckets: [[40, 1]] } } },
  },
});

describe('the live store', () => {
  let receive: (message: object) => void;

  beforeEach(() => {
    vi.stubGlobal(
      'WebSocket',
      class {
        onmessage: ((event: { data: string }) => void) | null = null;
        constructor() {
          receive = (message) => this.onmessage?.({ data: JSON.stringify(message) });
        }
        close(): void {
          this.onmessage = null;
        }
      },
    );
    setActivePinia(createPinia());
  });
  afterEach(() => {
    vi.unstubAllGlobals();
  });

  function started() {
    const live = useLiveStore();
    live.start();
    const seconds = () => [...live.ring.slice('cpu.usage_percent', 0).values];
    return {
      live,
      seconds,
      history: (...past: number[]) => ({ type: 'history', snapshots: past.map(snapshot) }),
    };
  }

  it('accepts the previous run from a restarted server, even after the first ticks', async () => {
    const { live, seconds, history } = started();
    const drawn: number[] = [];
    const frame = async () => {
      await new Promise(requestAnimationFrame);
      drawn.push(live.backfills);
    };
    receive(history());
    await frame();
    receive(snapshot(8));
    await frame();
    receive(snapshot(9));
    await frame();
    receive(history(1, 2, 3, 8, 9));
    await frame();
    receive(snapshot(10));
    await frame();
    // Charts redraw fully on the first sample and on a backfill.
    expect(drawn).toEqual([0, 1, 1, 2, 2]);
    expect(seconds()).toEqual([1, 2, 3, 8, 9, 10]);
    const columns = live.histograms.slice('scheduler.runqueue_wait.histogram', 0, Infinity);
    expect(columns.times).toEqual([1, 2, 3, 8, 9, 10].map((second) => second * 1000));
    live.stop();
  });

  it('keeps its samples when a new connection repeats some of them', () => {
    const { live, seconds, history } = started();
    receive(history(1, 2));
    receive(snapshot(3));
    receive(history(2, 3, 4));
    expect(seconds()).toEqual([1, 2, 3, 4]);
    live.stop();
    expect(seconds()).toEqual([]);
  });
});
