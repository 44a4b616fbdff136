/** What a range is compared with, in words: a time, another machine, or a group. */
import { computed } from 'vue';
import { rangeText } from '@/format/time';
import type { ComparedSpan } from '@/series/historyView';
import { groupIn } from '@/series/hosts';
import { plain } from '@/series/who/group';
import { useFleetStore } from '@/stores/fleet';

export function useComparedName(span: () => ComparedSpan) {
  const fleet = useFleetStore();
  return computed(() => {
    const { from, to, host } = span();
    if (host === undefined) return rangeText(from, to);
    const group = groupIn(host);
    return plain(group === null ? (fleet.find(host)?.name ?? host) : `${group.label}: ${group.value}`);
  });
}
