/** Zoom and pan on a chart: drag to select, Ctrl+wheel to zoom, horizontal wheel to pan, or keys. */
import { computed, shallowRef, type Ref } from 'vue';
import { timeToX, xToTime, type Span } from '@/charts/geometry';
import { pan, select, zoom } from '@/series/range';
import { useClockStore } from '@/stores/clock';
import { useCursorStore } from '@/stores/cursor';

/** A shorter drag is a click. */
const MIN_DRAG_PX = 6;
const ZOOM_STEP = 0.6;

export function useExplore(
  span: Readonly<Ref<Span>>,
  width: Readonly<Ref<number>>,
  onSpan: (span: Span) => void,
) {
  const clock = useClockStore();
  const cursor = useCursorStore();
  const start = shallowRef<number | null>(null);
  const end = shallowRef<number | null>(null);

  const timeOf = (event: MouseEvent): number => {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    return xToTime(event.clientX - box.left, span.value, width.value);
  };

  /** The current selection, in pixels. */
  const selection = computed(() => {
    if (start.value === null || end.value === null) return null;
    const [a, b] = [start.value, end.value].map((time) => timeToX(time, span.value, width.value));
    return { left: Math.min(a ?? 0, b ?? 0), width: Math.abs((a ?? 0) - (b ?? 0)) };
  });

  function onDown(event: PointerEvent): void {
    // Touch scrolls the page and moves the crosshair; there are buttons for zoom and pan.
    if (event.button !== 0 || event.pointerType === 'touch') return;
    (event.currentTarget as HTMLElement).setPointerCapture(event.pointerId);
    start.value = timeOf(event);
  }

  function onMove(event: PointerEvent): void {
    if (start.value !== null) end.value = timeOf(event);
  }

  function onUp(): void {
    const chosen = selection.value;
    const [a, b] = [start.value, end.value];
    start.value = end.value = null;
    if (chosen === null || a === null || b === null || chosen.width < MIN_DRAG_PX) return;
    onSpan(select(a, b, clock.now()));
  }

  function onCancel(): void {
    start.value = end.value = null;
  }

  function onDouble(event: MouseEvent): void {
    onSpan(zoom(span.value, 1 / ZOOM_STEP, timeOf(event), clock.now()));
  }

  function onWheel(event: WheelEvent): void {
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      onSpan(zoom(span.value, event.deltaY < 0 ? ZOOM_STEP : 1 / ZOOM_STEP, timeOf(event), clock.now()));
    } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY) * 2) {
      event.preventDefault();
      onSpan(pan(span.value, event.deltaX / Math.max(1, width.value), clock.now()));
    }
  }

  function onKey(event: KeyboardEvent): void {
    const middle = cursor.time ?? (span.value.from + span.value.to) / 2;
    const moves: Record<string, () => Span> = {
      '+': () => zoom(span.value, ZOOM_STEP, middle, clock.now()),
      '=': () => zoom(span.value, ZOOM_STEP, middle, clock.now()),
      '-': () => zoom(span.value, 1 / ZOOM_STEP, middle, clock.now()),
      PageUp: () => pan(span.value, -0.5, clock.now()),
      PageDown: () => pan(span.value, 0.5, clock.now()),
    };
    const move = moves[event.key];
    if (move === undefined) return;
    event.preventDefault();
    onSpan(move());
  }

  const handlers = {
    pointerdown: onDown,
    pointermove: onMove,
    pointerup: onUp,
    pointercancel: onCancel,
    dblclick: onDouble,
    wheel: onWheel,
    keydown: onKey,
  };
  return { selection, handlers };
}
