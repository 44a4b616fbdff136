/** Live series cut to the chosen window, as charts take them. */
import { computed, type ComputedRef, type Ref } from 'vue';
import type { Span } from '@/charts/geometry';
import type { SeriesSpec } from '@/charts/spec';
import type { SeriesData } from '@/charts/timeline';
import { useCursorStore } from '@/stores/cursor';
import { useLiveStore } from '@/stores/live';
import { usePreferencesStore } from '@/stores/preferences';
import { useDrawnSpan } from './useDrawnSpan';

/** The time that live charts show: the chosen minutes up to the newest (or the paused) sample. */
export function useLiveSpan(): ComputedRef<Span> {
  const live = useLiveStore();
  const preferences = usePreferencesStore();
  return computed(() => {
    void live.version;
    const to = live.pausedAt ?? live.ring.last ?? Date.now();
    return { from: to - preferences.windowMinutes * 60_000, to };
  });
}

/** Series for the picture in `element`, and their readings, which follow every tick. */
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
