/** Moves the shared crosshair by pointer, touch and arrow keys. */
import { computed, type Ref } from 'vue';
import { timeToX, xToTime, type Span } from '@/charts/geometry';
import { useCursorStore } from '@/stores/cursor';

/** Where a key moves the crosshair; undefined if it is none of ours. */
export function movedBy(event: KeyboardEvent, at: number | null, { from, to }: Span, step: number) {
  const stride = event.shiftKey ? step * 10 : step;
  const moves: Record<string, number> = {
    ArrowLeft: (at ?? to) - stride,
    ArrowRight: (at ?? to) + stride,
    Home: from,
    End: to,
  };
  const next = moves[event.key];
  return next === undefined ? undefined : Math.min(to, Math.max(from, next));
}

export function useCrosshair(span: Readonly<Ref<Span>>, width: Readonly<Ref<number>>, step: () => number) {
  const cursor = useCursorStore();

  const x = computed(() => {
    const { from, to } = span.value;
    if (cursor.time === null || cursor.time < from || cursor.time > to || width.value === 0) return null;
    return timeToX(cursor.time, span.value, width.value);
  });

  function onPointerMove(event: PointerEvent): void {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    cursor.time = xToTime(event.clientX - box.left, span.value, width.value);
  }

  function clear(): void {
    cursor.time = null;
  }

  /** After a tap the values stay readable. */
  function onLeave(event: PointerEvent): void {
    if (event.pointerType !== 'touch') clear();
  }

  function onKey(event: KeyboardEvent): void {
    if (event.key === 'Escape') clear();
    const next = movedBy(event, cursor.time, span.value, step());
    if (next === undefined) return;
    event.preventDefault();
    cursor.time = next;
  }

  return { x, cursor, onPointerMove, onLeave, clear, onKey };
}
