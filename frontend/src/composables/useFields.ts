/** All plottable fields of a metric type, from the newest tick or else from the last stored document. */
import { computed, shallowRef, watch } from 'vue';
import type { Documents } from '@/api/types';
import { leavesOf, type Leaves } from '@/series/leaves';
import { useClockStore } from '@/stores/clock';
import { useHistoryStore } from '@/stores/history';
import { useLiveStore } from '@/stores/live';

const MONTH = 30 * 86_400_000;

export function useFields(metric: () => string) {
  const clock = useClockStore();
  const history = useHistoryStore();
  const live = useLiveStore();
  const stored = shallowRef<Leaves | null>(null);
  const current = computed<object | undefined>(() => live.latest?.data[metric() as keyof Documents]);

  watch(
    [metric, () => current.value === undefined],
    async ([type, unknown]) => {
      stored.value = null;
      if (!unknown) return;
      const point = await history.sample(type, clock.now() - MONTH, clock.now()).catch(() => null);
      if (type === metric() && point !== null) stored.value = leavesOf(point.data);
    },
    { immediate: true },
  );

  return computed<Leaves>(() => {
    const now = current.value === undefined ? stored.value : leavesOf(current.value);
    return {
      numbers: (now?.numbers ?? []).toSorted(),
      histograms: (now?.histograms ?? []).toSorted(),
    };
  });
}
