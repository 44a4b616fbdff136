/** Where a heatmap is pointed at: by hovering, or by a tap, which stays until the focus leaves. */
import { shallowRef } from 'vue';

export interface Pointed {
  /** Pixels from the top left corner. */
  x: number;
  y: number;
  width: number;
  height: number;
}

export function useHeatPointer() {
  const at = shallowRef<Pointed | null>(null);

  function onPoint(event: PointerEvent): void {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const { width, height } = box;
    at.value = { x: event.clientX - box.left, y: event.clientY - box.top, width, height };
  }
  function onLeave(event: PointerEvent): void {
    if (event.pointerType !== 'touch') at.value = null;
  }
  function clear(): void {
    at.value = null;
  }

  return {
    at,
    handlers: { pointermove: onPoint, pointerdown: onPoint, pointerleave: onLeave, focusout: clear },
  };
}
