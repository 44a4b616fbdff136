/** Live series within the selected window, for charts. */
import { computed, type ComputedRef, type Ref } from 'vue';
import type { SeriesSpec } from '@/charts/spec';
import type { SeriesData } from '@/charts/timeline';
import { useCursorStore } from '@/stores/cursor';
import { useLiveStore } from '@/stores/live';
import { useDrawnSpan } from './useDrawnSpan';
import { useLiveSpan } from './useLiveSpan';

/** Series for the chart in `element`, and their current values, which follow every tick. */
export function useLiveSeries(element: Readonly<Ref<Element | null>>, specs: () => readonly SeriesSpec[]) {
  const live = useLiveStore();
  const cursor = useCursorStore();
  const newest = useLiveSpan();
  const span = useDrawnSpan(element);

  const data = computed<SeriesData[]>(() => {
    const { from, to } = span.value;
    // One sample before the window, so that lines reach the left edge.
    return specs().map((spec) => ({
      name: spec.label,
      colour: spec.colour,
      dashed: spec.dashed ?? false,
      ...live.ring.slice(spec.key, from - live.intervalMs, to),
    }));
  });

  /** The value of each series under the crosshair, or the newest. */
  const readings = computed<number[]>(() => {
    const { from, to } = newest.value;
    const wanted = cursor.time === null || cursor.time < from || cursor.time > to ? to : cursor.time;
    const index = live.ring.nearest(wanted);
    return specs().map((spec) => live.ring.at(spec.key, index));
  });

  return { span, data, readings };
}

/** The newest drawn value of one series. */
export function useReading(key: () => string): ComputedRef<number> {
  const live = useLiveStore();
  const span = useLiveSpan();
  return computed(() => live.ring.at(key(), live.ring.nearest(span.value.to)));
}
