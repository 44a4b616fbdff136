/** What a range is compared with, in words: a time, or another machine. */
import { computed } from 'vue';
import { rangeText } from '@/format/time';
import type { ComparedSpan } from '@/series/historyView';
import { plain } from '@/series/who/group';
import { useFleetStore } from '@/stores/fleet';

export function useComparedName(span: () => ComparedSpan) {
  const fleet = useFleetStore();
  return computed(() => {
    const { from, to, host } = span();
    return host === undefined ? rangeText(from, to) : plain(fleet.find(host)?.name ?? host);
  });
}
