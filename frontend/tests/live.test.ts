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
  let lose: () => void;

  beforeEach(() => {
    vi.stubGlobal(
      'WebSocket',
      class {
        onopen: (() => void) | null = null;
        onmessage: ((event: { data: string }) => void) | null = null;
        onclose: ((event: { code: number }) => void) | null = null;
        constructor() {
          receive = (message) => this.onmessage?.({ data: JSON.stringify(message) });
          lose = () => {
            this.onopen?.();
            this.onclose?.({ code: 1006 });
          };
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
    /** The connection is lost and a new one opened. */
    const reconnect = () => {
      lose();
      live.retry();
    };
    return { live, seconds, reconnect };
  }

  it('draws everything anew on the first sample, and when a pause of the connection left a hole', async () => {
    const { live, seconds, reconnect } = started();
    const drawn: number[] = [];
    const tick = async (second: number) => {
      receive(snapshot(second));
      await new Promise(requestAnimationFrame);
      drawn.push(live.restarts);
    };
    for (const second of [1, 2, 3]) await tick(second);
    reconnect();
    await tick(4);
    await tick(9);
    reconnect();
    await tick(60);
    await tick(61);
    // Nine came late, but over the same connection.
    expect(drawn).toEqual([1, 1, 1, 1, 1, 2, 2]);
    expect(seconds()).toEqual([1, 2, 3, 4, 9, 60, 61]);
    const columns = live.histograms.slice('scheduler.runqueue_wait.histogram', 0, Infinity);
    expect(columns.times).toEqual(seconds().map((second) => second * 1000));
    live.stop();
  });

  it('keeps its samples when a new connection repeats the newest', () => {
    const { live, seconds, reconnect } = started();
    receive(snapshot(1));
    receive(snapshot(2));
    reconnect();
    receive(snapshot(2));
    receive(snapshot(3));
    expect(seconds()).toEqual([1, 2, 3]);
    live.stop();
    expect(seconds()).toEqual([]);
  });
});
