/** All plottable fields of a metric type, from the newest tick or else from the last stored document. */
import { computed, shallowRef, watch } from 'vue';
import type { Documents } from '@/api/types';
import { isOfThing } from '@/format/fields';
import { leavesOf, type Leaves } from '@/series/leaves';
import { useClockStore } from '@/stores/clock';
import { useHistoryStore } from '@/stores/history';
import { useLiveStore } from '@/stores/live';

const MONTH = 30 * 86_400_000;
const NOTHING: Leaves = { numbers: [], histograms: [], titles: {} };

/** `per_core.2` before `per_core.10`. */
const { compare } = new Intl.Collator('en', { numeric: true });

/** Fields of the whole machine come before those of its parts. */
function inOrder(metricType: string, paths: readonly string[]): string[] {
  const sorted = paths.toSorted(compare);
  const ofThings = new Set(sorted.filter((path) => isOfThing(metricType, path)));
  return [...sorted.filter((path) => !ofThings.has(path)), ...ofThings];
}

export function useFields(metric: () => string) {
  const clock = useClockStore();
  const history = useHistoryStore();
  const live = useLiveStore();
  const fields = shallowRef<Leaves>(NOTHING);
  const current = (): object | undefined => live.latest?.data[metric() as keyof Documents];

  function show(type: string, document: object): void {
    const { numbers, histograms, titles } = leavesOf(type, document);
    fields.value = { numbers: inOrder(type, numbers), histograms: inOrder(type, histograms), titles };
  }

  /** Refreshes, since processes and cgroups come and go: not at every tick, or a list would move while it is read. */
  function refresh(): void {
    const document = current();
    if (document !== undefined) show(metric(), document);
  }

  watch(
    [metric, () => current() === undefined],
    async ([type, unknown], [before]) => {
      if (type !== before) fields.value = NOTHING;
      refresh();
      if (!unknown) return;
      const point = await history.sample(type, clock.now() - MONTH, clock.now()).catch(() => null);
      if (type === metric() && current() === undefined && point !== null) show(type, point.data);
    },
    { immediate: true },
  );

  return { fields: computed(() => fields.value), refresh };
}
