/** Moves the shared crosshair by pointer, touch and arrow keys. */
import { computed, type Ref } from 'vue';
import { timeToX, xToTime, type Span } from '@/charts/geometry';
import { useCursorStore } from '@/stores/cursor';

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

  function onLeave(): void {
    cursor.time = null;
  }

  function onKey(event: KeyboardEvent): void {
    const { from, to } = span.value;
    const at = cursor.time ?? to;
    const stride = event.shiftKey ? step() * 10 : step();
    const moves: Record<string, number> = {
      ArrowLeft: at - stride,
      ArrowRight: at + stride,
      Home: from,
      End: to,
    };
    const next = moves[event.key];
    if (event.key === 'Escape') onLeave();
    if (next === undefined) return;
    event.preventDefault();
    cursor.time = Math.min(to, Math.max(from, next));
  }

  return { x, cursor, onPointerMove, onLeave, onKey };
}
