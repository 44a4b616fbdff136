/**
 * The live window as one picture shows it. It moves on by whole pixels, since less would draw the same picture again
 * (15 minutes on 450 pixels move every other second), and not at all while nobody can see the picture.
 */
import { readonly, shallowRef, watch, type Ref } from 'vue';
import { movesPixel, type Span } from '@/charts/geometry';
import { useLiveStore } from '@/stores/live';
import { useInSight } from './useInSight';
import { useLiveSpan } from './useLiveSeries';
import { useObserver } from './useObserver';

export function useDrawnSpan(element: Readonly<Ref<Element | null>>): Readonly<Ref<Span>> {
  const store = useLiveStore();
  const live = useLiveSpan();
  const drawn = shallowRef(live.value);
  let drawnOf = store.filled;
  const width = shallowRef(0);
  const visible = useInSight(element);

  const sizes = new ResizeObserver(([entry]) => {
    width.value = entry?.contentRect.width ?? 0;
  });
  useObserver(element, sizes);

  watch([live, width, visible], () => {
    if (!visible.value) return;
    // A past that has just come is drawn whatever the time.
    if (drawnOf === store.filled && !movesPixel(drawn.value, live.value, width.value)) return;
    drawnOf = store.filled;
    drawn.value = live.value;
  });

  return readonly(drawn) as Readonly<Ref<Span>>;
}
