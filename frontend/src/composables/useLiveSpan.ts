/** The live window: the selected number of minutes up to the newest (or the paused) sample. */
import { computed, type ComputedRef } from 'vue';
import type { Span } from '@/charts/geometry';
import { useClockStore } from '@/stores/clock';
import { useLiveStore } from '@/stores/live';
import { usePreferencesStore } from '@/stores/preferences';

export function useLiveSpan(): ComputedRef<Span> {
  const clock = useClockStore();
  const live = useLiveStore();
  const preferences = usePreferencesStore();
  return computed(() => {
    void live.version;
    const to = live.pausedAt ?? live.ring.last ?? clock.now();
    return { from: to - preferences.windowMinutes * 60_000, to };
  });
}
