import { createPinia, setActivePinia } from 'pinia';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { effectScope, nextTick, shallowRef, type EffectScope } from 'vue';
import { movesPixel } from '@/charts/geometry';
import { useDrawnSpan } from '@/composables/useDrawnSpan';
import { useLiveStore } from '@/stores/live';
import { useTimeStore } from '@/stores/time';

const MINUTE = 60_000;

describe('movesPixel', () => {
  const quarter = { from: 0, to: 15 * MINUTE };
  const later = (ms: number) => ({ from: ms, to: 15 * MINUTE + ms });

  it('needs a move by a pixel, in either direction', () => {
    expect(movesPixel(quarter, later(1000), 450)).toBe(false);
    expect(movesPixel(quarter, later(2000), 450)).toBe(true);
    expect(movesPixel(later(2000), quarter, 450)).toBe(true);
  });

  it('is true for another length, and false without a move', () => {
    expect(movesPixel(quarter, { from: 0, to: 15 * MINUTE + 1 }, 450)).toBe(true);
    expect(movesPixel(quarter, quarter, 100_000)).toBe(false);
    expect(movesPixel(quarter, later(5000), 0)).toBe(false);
  });
});

describe('useDrawnSpan', () => {
  let resize: (width: number) => void;
  let setVisible: (visible: boolean) => void;
  let scope: EffectScope;
  let watched = 0;

  beforeEach(() => {
    vi.stubGlobal(
      'ResizeObserver',
      class {
        constructor(callback: (entries: object[]) => void) {
          resize = (width) => {
            callback([{ contentRect: { width } }]);
          };
        }
        private watching = 0;
        observe() {
          this.watching += 1;
          watched += 1;
        }
        disconnect() {
          watched -= this.watching;
          this.watching = 0;
        }
      },
    );
    vi.stubGlobal(
      'IntersectionObserver',
      class {
        constructor(callback: (entries: object[]) => void) {
          // Several changes may come at once; the last one counts.
          setVisible = (visible) => {
            callback([{ isIntersecting: !visible }, { isIntersecting: visible }]);
          };
        }
        private watching = 0;
        observe() {
          this.watching += 1;
          watched += 1;
        }
        disconnect() {
          watched -= this.watching;
          this.watching = 0;
        }
      },
    );
    setActivePinia(createPinia());
    scope = effectScope();
  });
  afterEach(() => {
    scope.stop();
    vi.unstubAllGlobals();
  });

  async function started() {
    const live = useLiveStore();
    useTimeStore().choose({ last: 15 * MINUTE });
    const tick = async (second: number) => {
      live.ring.push(second * 1000, [['a', second]]);
      live.version += 1;
      await nextTick();
    };
    await tick(1000);
    const element = shallowRef<Element | null>(document.createElement('div'));
    const span = scope.run(() => useDrawnSpan(element))!;
    await nextTick();
    resize(450);
    await nextTick();
    return { tick, span, element };
  }

  it('advances by whole pixels', async () => {
    const { tick, span } = await started();
    const seen: number[] = [];
    for (let second = 1001; second <= 1006; second += 1) {
      await tick(second);
      seen.push(span.value.to / 1000);
    }
    expect(seen).toEqual([1000, 1002, 1002, 1004, 1004, 1006]);
    expect(span.value.from).toBe(1006_000 - 15 * MINUTE);
  });

  it('stops out of sight, and is current once visible', async () => {
    const { tick, span } = await started();
    setVisible(false);
    for (let second = 1001; second <= 1030; second += 1) await tick(second);
    expect(span.value.to).toBe(1000_000);
    setVisible(true);
    await nextTick();
    expect(span.value.to).toBe(1030_000);
  });

  it('shows a new start of the stream at once, however little time has passed', async () => {
    const { tick, span } = await started();
    await tick(1001);
    expect(span.value.to).toBe(1000_000);
    useLiveStore().restarts += 1;
    await nextTick();
    await tick(1001.2);
    expect(span.value.to).toBe(1001_200);
  });

  it('follows a new window and a new width at once', async () => {
    const { tick, span } = await started();
    await tick(1001);
    expect(span.value.to).toBe(1000_000);
    resize(900);
    await nextTick();
    expect(span.value.to).toBe(1001_000);
    useTimeStore().choose({ last: MINUTE });
    await nextTick();
    expect(span.value).toEqual({ from: 1001_000 - MINUTE, to: 1001_000, width: useLiveStore().intervalMs });
    useTimeStore().choose({ from: 1000, to: 2000 });
    await nextTick();
    expect(span.value).toEqual({ from: 1000, to: 2000, width: 1000 });
  });

  it('stops observing a removed element', async () => {
    const { element } = await started();
    expect(watched).toBe(2);
    element.value = null;
    await nextTick();
    expect(watched).toBe(0);
  });
});
