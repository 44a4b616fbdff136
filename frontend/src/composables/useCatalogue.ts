/** The catalogue of fields, from the newest tick, and of what is no longer measured from the last stored document. */
import { computed, shallowRef } from 'vue';
import { entriesOf, type Entry } from '@/series/catalogue';
import { leavesOf } from '@/series/leaves';
import { useClockStore } from '@/stores/clock';
import { useHistoryStore } from '@/stores/history';
import { useLiveStore } from '@/stores/live';

const MONTH = 30 * 86_400_000;
/** Accounts of processes are not plotted: “Who” shows them. */
const isPlotted = (metric: string): boolean => metric !== 'usage';

export function useCatalogue() {
  const clock = useClockStore();
  const history = useHistoryStore();
  const live = useLiveStore();
  const byMetric = shallowRef<ReadonlyMap<string, readonly Entry[]>>(new Map());
  const busy = shallowRef(false);

  function add(metric: string, document: object): void {
    byMetric.value = new Map(byMetric.value).set(metric, entriesOf(metric, leavesOf(metric, document)));
  }

  /** Not at every tick, or a list would move while it is read: processes and cgroups come and go. */
  async function refresh(): Promise<void> {
    for (const [metric, document] of Object.entries(live.latest?.data ?? {})) {
      if (isPlotted(metric)) add(metric, document);
    }
    busy.value = true;
    const stored = await history.metricTypes().catch(() => []);
    const lacking = stored.filter((metric) => isPlotted(metric) && !byMetric.value.has(metric));
    await Promise.all(
      lacking.map(async (metric) => {
        const point = await history.sample(metric, clock.now() - MONTH, clock.now()).catch(() => null);
        if (point !== null) add(metric, point.data);
      }),
    );
    busy.value = false;
  }

  return { entries: computed(() => [...byMetric.value.values()].flat()), busy, refresh };
}
