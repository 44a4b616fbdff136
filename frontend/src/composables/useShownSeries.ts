/** Series of the shown time, for charts. */
import { computed, type Ref } from 'vue';
import type { SeriesSpec } from '@/charts/spec';
import type { SeriesData } from '@/charts/timeline';
import { useShownStore } from '@/stores/shown';
import { useDrawnSpan } from './useDrawnSpan';

/** Series for the chart in `element`, and their values at the crosshair, which follow every tick. */
export function useShownSeries(element: Readonly<Ref<Element | null>>, specs: () => readonly SeriesSpec[]) {
  const shown = useShownStore();
  const span = useDrawnSpan(element);

  const data = computed<SeriesData[]>(() =>
    specs().map((spec) => ({
      name: spec.label,
      colour: spec.colour,
      dashed: spec.dashed ?? false,
      ...shown.series(spec.key, span.value),
    })),
  );
  const readings = computed<number[]>(() => specs().map((spec) => shown.reading(spec.key)));

  return { span, data, readings };
}
