/**
 * The live window of one chart. It advances by whole pixels, since less would redraw the same image (15 minutes on
 * 450 pixels advance every other second), and not at all while the chart is out of sight.
 */
import { readonly, shallowRef, watch, type Ref } from 'vue';
import { movesPixel, type Span } from '@/charts/geometry';
import { useLiveStore } from '@/stores/live';
import { useLiveSpan } from './useLiveSpan';
import { useObserver } from './useObserver';
import { useVisibility } from './useVisibility';

export function useDrawnSpan(element: Readonly<Ref<Element | null>>): Readonly<Ref<Span>> {
  const store = useLiveStore();
  const live = useLiveSpan();
  const drawn = shallowRef(live.value);
  let drawnBackfills = store.backfills;
  const width = shallowRef(0);
  const visible = useVisibility(element);

  const sizes = new ResizeObserver(([entry]) => {
    width.value = entry?.contentRect.width ?? 0;
  });
  useObserver(element, sizes);

  watch([live, width, visible], () => {
    if (!visible.value) return;
    // A new backfill is always drawn.
    if (drawnBackfills === store.backfills && !movesPixel(drawn.value, live.value, width.value)) return;
    drawnBackfills = store.backfills;
    drawn.value = live.value;
  });

  return readonly(drawn) as Readonly<Ref<Span>>;
}
