/** The answer to a history question that changes: the last answer stays until the next one is here. */
import { onScopeDispose, shallowRef, watch } from 'vue';
import type { History } from '@/api/types';
import { useHistoryStore, type PointsQuery } from '@/stores/history';

export function useHistoryQuery(query: () => PointsQuery | null) {
  const history = useHistoryStore();
  const answer = shallowRef<History | null>(null);
  const busy = shallowRef(false);
  const error = shallowRef<string | null>(null);
  let pending: AbortController | null = null;

  async function load(wanted: PointsQuery): Promise<void> {
    pending?.abort();
    const mine = new AbortController();
    pending = mine;
    busy.value = true;
    try {
      answer.value = await history.points(wanted, mine.signal);
      error.value = null;
    } catch (caught) {
      const sentence = history.explain(caught);
      if (pending === mine) error.value = sentence;
    }
    if (pending === mine) busy.value = false;
  }

  function reload(): void {
    const wanted = query();
    if (wanted !== null) void load(wanted);
  }

  watch(
    query,
    (wanted, before) => {
      if (JSON.stringify(wanted) === JSON.stringify(before)) return;
      if (wanted?.metricType !== before?.metricType) answer.value = null;
      reload();
    },
    { immediate: true },
  );
  onScopeDispose(() => pending?.abort());

  return { answer, busy, error, reload };
}
