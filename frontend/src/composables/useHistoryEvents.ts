/** What happened in a range of history. Marks are extra: where they cannot be read, charts go without. */
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
      const mine = new AbortController();
      pending = mine;
      const found = await history.events(span(), mine.signal).catch(() => null);
      if (pending === mine) episodes.value = episodesOf(found ?? []);
    },
    { immediate: true },
  );
  onScopeDispose(() => pending?.abort());

  return episodes;
}
