/**
 * The span of one chart, and how far apart its points are: one without the other could make an image of a million
 * points. A live one advances by whole pixels, since less would redraw the same image (15 minutes on 450 pixels advance
 * every other second), and not at all while the chart is out of sight.
 */
import { readonly, shallowRef, watch, type Ref } from 'vue';
import { movesPixel, type Span } from '@/charts/geometry';
import { useLiveStore } from '@/stores/live';
import { useShownStore } from '@/stores/shown';
import { useTimeStore } from '@/stores/time';
import { useObserver } from './useObserver';
import { useVisibility } from './useVisibility';

export interface Drawn extends Span {
  /** Milliseconds per point. */
  width: number;
}

export function useDrawnSpan(element: Readonly<Ref<Element | null>>): Readonly<Ref<Drawn>> {
  const live = useLiveStore();
  const shown = useShownStore();
  const time = useTimeStore();
  const now = (): Drawn => ({ ...shown.span, width: shown.width });
  const drawn = shallowRef(now());
  let drawnRestarts = live.restarts;
  let drawnRange = time.range;
  const pixels = shallowRef(0);
  const visible = useVisibility(element);

  const sizes = new ResizeObserver(([entry]) => {
    pixels.value = entry?.contentRect.width ?? 0;
  });
  useObserver(element, sizes);

  watch([() => shown.span, () => shown.width, pixels, visible], () => {
    if (!visible.value) return;
    // A new start of the stream and another choice are always drawn.
    const isSame =
      drawnRestarts === live.restarts && drawnRange === time.range && drawn.value.width === shown.width;
    if (isSame && !movesPixel(drawn.value, shown.span, pixels.value)) return;
    drawnRestarts = live.restarts;
    drawnRange = time.range;
    drawn.value = now();
  });

  return readonly(drawn) as Readonly<Ref<Drawn>>;
}
