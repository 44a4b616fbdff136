/** Events in a range of history. If they cannot be loaded, charts are shown without marks. */
import { onScopeDispose, shallowRef, watch } from 'vue';
import type { Span } from '@/charts/geometry';
import { episodesOf, type Episode } from '@/series/events';
import { useHistoryStore } from '@/stores/history';

export function useHistoryEvents(span: () => Span) {
  const history = useHistoryStore();
  const episodes = shallowRef<readonly Episode[]>([]);
  let pending: AbortController | null = null;

  watch(
    () => {
      const { from, to } = span();
      return `${from.toString()} ${to.toString()}`;
    },
    async () => {
      pending?.abort();
      const request = new AbortController();
      pending = request;
      const found = await history.events(span(), request.signal).catch(() => null);
      if (pending === request) episodes.value = episodesOf(found ?? []);
    },
    { immediate: true },
  );
  onScopeDispose(() => pending?.abort());

  return episodes;
}
