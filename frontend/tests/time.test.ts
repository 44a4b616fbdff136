import { createPinia, getActivePinia, setActivePinia } from 'pinia';
import { beforeEach, describe, expect, it } from 'vitest';
import { rangeIn } from '@/series/range';
import { useLiveStore } from '@/stores/live';
import { usePreferencesStore } from '@/stores/preferences';
import { useTimeStore, type RangeParameters } from '@/stores/time';

const HOUR = 3_600_000;
const PAST = Date.parse('2026-03-02T12:00:00Z');

describe('the time of the page', () => {
  /** The browser's history: one list of addresses, of which the last is shown. */
  let entries: RangeParameters[];

  beforeEach(() => {
    localStorage.clear();
    setActivePinia(createPinia());
    const time = useTimeStore();
    entries = [time.parameters];
    time.connect((parameters, entry) => {
      if (entry === 'same') entries.pop();
      entries.push(parameters);
      time.follow(parameters, entries.length > 1);
    });
  });
  const back = (): void => {
    entries.pop();
    useTimeStore().follow(entries.at(-1)!, entries.length > 1);
  };

  it('is one entry of the history for each deliberate choice, and Back returns to it', () => {
    const time = useTimeStore();
    const hour = { from: PAST - HOUR, to: PAST };
    time.choose(hour);
    time.choose({ from: PAST - HOUR, to: PAST - HOUR / 2 });
    expect(entries).toHaveLength(3);
    expect(rangeIn(entries.at(-1)!)).toEqual(time.range);
    expect(time.hasEarlier).toBe(true);
    back();
    expect(time.span).toEqual(hour);
    back();
    expect(time.following).toBe(true);
    expect(time.hasEarlier).toBe(false);
  });

  it('makes no entry for what is already shown, and one for a whole gesture', () => {
    const time = useTimeStore();
    time.choose({ last: 300_000 });
    expect(entries).toHaveLength(1);
    for (let turn = 1; turn < 5; turn += 1) time.nudge({ from: PAST - HOUR / turn, to: PAST });
    expect(entries).toHaveLength(2);
  });

  it('takes over what a link says, and keeps it where a link says nothing', () => {
    const time = useTimeStore();
    time.follow({ from: '2026-03-02T11:00:00Z', to: '2026-03-02T12:00:00Z' }, false);
    expect(time.span).toEqual({ from: PAST - HOUR, to: PAST });
    time.follow({ metric: 'cpu' }, false);
    expect(time.span).toEqual({ from: PAST - HOUR, to: PAST });
  });

  it('ends live with the newest tick, and does not move while paused', () => {
    const time = useTimeStore();
    const live = useLiveStore();
    const tick = (ms: number): void => {
      live.ring.push(ms, [['a', 1]]);
      live.version += 1;
    };
    tick(PAST);
    expect(time.span).toEqual({ from: PAST - 300_000, to: PAST });
    live.togglePause();
    tick(PAST + 1000);
    expect(time.span.to).toBe(PAST);
    // Another live range is a wish to see now.
    time.choose({ last: 60_000 });
    expect(live.pausedAt).toBeNull();
    expect(time.span).toEqual({ from: PAST + 1000 - 60_000, to: PAST + 1000 });
  });

  it('remembers the live range for the way back to live and the next visit', () => {
    const pinia = getActivePinia();
    const time = useTimeStore();
    time.choose({ last: 900_000 });
    time.choose({ from: PAST - HOUR, to: PAST });
    time.goLive();
    expect(time.range).toEqual({ last: 900_000 });
    expect(usePreferencesStore().range).toBe('15m');
    setActivePinia(createPinia());
    expect(useTimeStore().range).toEqual({ last: 900_000 });
    setActivePinia(pinia);
    // A link's live range is that of this visit only.
    time.follow({ range: '6h' }, false);
    time.choose({ from: PAST - HOUR, to: PAST });
    time.goLive();
    expect(time.range).toEqual({ last: 6 * HOUR });
  });

  it('pans from live into the past and back to live', () => {
    const time = useTimeStore();
    useLiveStore().ring.push(Date.now(), [['a', 1]]);
    time.panBy(-0.5);
    expect(time.following).toBe(false);
    expect(time.length).toBe(300_000);
    time.panBy(0.5);
    expect(time.range).toEqual({ last: 300_000 });
    time.zoomBy(false);
    expect(time.range).toEqual({ last: 900_000 });
  });
});
