/**
 * Two fingers zoom a chart: the time between them stays between them. It is zoomed when they are lifted, since what is
 * loaded for each step in between would replace the chart under the fingers.
 */
import { shallowRef, type Ref } from 'vue';
import { xToTime, type Span } from '@/charts/geometry';
import { zoom } from '@/series/range';
import { useClockStore } from '@/stores/clock';
import { useTimeStore } from '@/stores/time';

/** Fingers can't be closer, pixels. */
const MIN_DISTANCE = 24;
/** Less is not meant as a zoom. */
const LEAST = 1.1;

export function usePinch(span: Readonly<Ref<Span>>, width: Readonly<Ref<number>>) {
  const clock = useClockStore();
  const time = useTimeStore();
  /** Where each finger is on the chart. */
  const fingers = new Map<number, number>();
  let begun: { span: Span; distance: number; at: number } | null = null;
  /** What will be shown. */
  const target = shallowRef<Span | null>(null);

  const xOf = (event: PointerEvent): number =>
    event.clientX - (event.currentTarget as HTMLElement).getBoundingClientRect().left;

  function places(): [number, number] {
    const [a = 0, b = 0] = fingers.values();
    return [a, b];
  }
  function distance(): number {
    const [a, b] = places();
    return Math.max(MIN_DISTANCE, Math.abs(a - b));
  }

  /** Returns whether there are two fingers. */
  function down(event: PointerEvent): boolean {
    if (event.pointerType !== 'touch') return false;
    if (event.isPrimary) fingers.clear();
    fingers.set(event.pointerId, xOf(event));
    if (fingers.size === 2) {
      const [a, b] = places();
      begun = {
        span: span.value,
        distance: distance(),
        at: xToTime((a + b) / 2, span.value, width.value),
      };
    }
    return fingers.size > 1;
  }

  function move(event: PointerEvent): boolean {
    if (begun === null || !fingers.has(event.pointerId)) return false;
    fingers.set(event.pointerId, xOf(event));
    const factor = begun.distance / distance();
    const isMeant = Math.max(factor, 1 / factor) >= LEAST;
    target.value = isMeant ? zoom(begun.span, factor, begun.at, clock.now()) : null;
    return true;
  }

  function cancel(): void {
    fingers.clear();
    begun = null;
    target.value = null;
  }

  /** Returns whether that was the end of a pinch. */
  function up(): boolean {
    const [wasPinch, next] = [begun !== null, target.value];
    cancel();
    if (next !== null) time.choose(next);
    return wasPinch;
  }

  return { target, down, move, up, cancel };
}
