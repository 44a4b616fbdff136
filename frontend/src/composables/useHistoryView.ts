/** The history page's view, kept in the URL, so that Back returns to the previous view. */
import { computed } from 'vue';
import { useRoute, useRouter } from 'vue-router';
import { parseView, viewQuery, type HistoryView } from '@/series/historyView';
import { useTimeStore } from '@/stores/time';
import { useSteadySpan } from './useSteadySpan';

export function useHistoryView() {
  const route = useRoute();
  const router = useRouter();
  const time = useTimeStore();
  const view = computed(() => parseView(route.query));
  // Comparisons are too much work to be repeated all the time.
  const { span, refresh } = useSteadySpan(() => view.value.mode === 'board');

  function change(part: Partial<HistoryView>): void {
    const { theme } = route.query;
    const query = { ...viewQuery({ ...view.value, ...part }), ...time.parameters };
    void router.push({ query: typeof theme === 'string' ? { ...query, theme } : query });
  }

  return { view, span, change, refresh };
}
