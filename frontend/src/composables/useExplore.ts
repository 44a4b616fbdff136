/** Selecting, zooming and panning on a chart: drag to select, pinch or Ctrl+wheel to zoom, horizontal wheel to pan. */
import { computed, shallowRef, watch, type Ref } from 'vue';
import { timeToX, xToTime, type Span } from '@/charts/geometry';
import { pan, select, zoom } from '@/series/range';
import { useClockStore } from '@/stores/clock';
import { useTimeStore } from '@/stores/time';
import { usePinch } from './usePinch';

/** A shorter drag is a click. */
const MIN_DRAG_PX = 6;
const ZOOM_STEP = 0.6;

export function useExplore(span: Readonly<Ref<Span>>, width: Readonly<Ref<number>>) {
  const clock = useClockStore();
  const time = useTimeStore();
  const pinch = usePinch(span, width);
  const start = shallowRef<number | null>(null);
  const end = shallowRef<number | null>(null);
  let startY = 0;
  /** What was selected, until something is done with it. */
  const chosen = shallowRef<Span | null>(null);

  const timeOf = (event: MouseEvent): number => {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    return xToTime(event.clientX - box.left, span.value, width.value);
  };

  const dragged = computed<Span | null>(() =>
    start.value === null || end.value === null
      ? null
      : { from: Math.min(start.value, end.value), to: Math.max(start.value, end.value) },
  );
  /** The selection in pixels, within the plot. */
  const selection = computed(() => {
    const selected = pinch.target.value ?? dragged.value ?? chosen.value;
    if (selected === null) return null;
    const within = (ms: number): number => Math.min(span.value.to, Math.max(span.value.from, ms));
    const [left, right] = [selected.from, selected.to].map((ms) =>
      timeToX(within(ms), span.value, width.value),
    );
    return { left: left ?? 0, width: (right ?? 0) - (left ?? 0) };
  });

  function dismiss(): void {
    chosen.value = start.value = end.value = null;
  }
  watch(() => time.range, dismiss);

  function onDown(event: PointerEvent): void {
    if (pinch.down(event)) {
      dismiss();
      return;
    }
    if (event.button !== 0 || !event.isPrimary) return;
    chosen.value = end.value = null;
    start.value = timeOf(event);
    startY = event.clientY;
  }

  function onMove(event: PointerEvent): void {
    if (pinch.move(event) || start.value === null) return;
    const at = timeOf(event);
    const moved = Math.abs(
      timeToX(at, span.value, width.value) - timeToX(start.value, span.value, width.value),
    );
    const isDrag = moved >= MIN_DRAG_PX && moved > Math.abs(event.clientY - startY);
    if (end.value === null && !isDrag) return;
    if (end.value === null) (event.currentTarget as HTMLElement).setPointerCapture(event.pointerId);
    end.value = at;
  }

  function onUp(): void {
    if (pinch.up()) return;
    const { value } = dragged;
    dismiss();
    if (value !== null) chosen.value = select(value.from, value.to, clock.now());
  }

  /** A drag is not a scroll: browsers would let a quick one run on, and take the next tap for one that stops it. */
  function onTouchMove(event: TouchEvent): void {
    const isOurs = end.value !== null || pinch.target.value !== null;
    if (isOurs && event.cancelable) event.preventDefault();
  }

  function onWheel(event: WheelEvent): void {
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      const factor = event.deltaY < 0 ? ZOOM_STEP : 1 / ZOOM_STEP;
      time.nudge(zoom(span.value, factor, timeOf(event), clock.now()));
    } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY) * 2) {
      event.preventDefault();
      time.nudge(pan(span.value, event.deltaX / Math.max(1, width.value), clock.now()));
    }
  }

  const handlers = {
    pointerdown: onDown,
    pointermove: onMove,
    pointerup: onUp,
    // The browser scrolls the page instead.
    pointercancel: () => {
      pinch.cancel();
      dismiss();
    },
    touchmove: onTouchMove,
    wheel: onWheel,
  };
  return { selection, chosen, dismiss, handlers };
}
