/** What the document `cgroups` says of one group over a range; nothing where it was not recorded. */
import { computed, shallowRef, type Ref } from 'vue';
import { aligned, type Span } from '@/series/range';
import { fieldOf, groupPoints } from '@/series/who/groupHistory';
import { useHistoryStore, type PointsQuery } from '@/stores/history';
import { useTimeStore } from '@/stores/time';
import { useQuery } from './useQuery';

const METRIC = 'cgroups';

export function useGroupPoints(
  path: () => string | null,
  span: Readonly<Ref<Span>>,
  interval: Readonly<Ref<{ name: string; ms: number }>>,
) {
  const history = useHistoryStore();
  const time = useTimeStore();
  /** Whether it was ever recorded; older servers have no such document. */
  const isRecorded = shallowRef(false);
  void history
    .metricTypes()
    .then((types) => {
      isRecorded.value = types.includes(METRIC);
    })
    // The page then shows what the accounts have.
    .catch(() => undefined);

  const { answer } = useQuery(
    (): PointsQuery | null => {
      const group = path();
      const field = group === null ? null : fieldOf(group);
      if (field === null || !isRecorded.value) return null;
      const { name, ms } = interval.value;
      return {
        metricType: METRIC,
        fields: [field, 'elapsed_ms'],
        interval: name,
        ...aligned(span.value, ms),
      };
    },
    history.points,
    (now, before) => now?.fields[0] !== before?.fields[0],
    () => time.following,
  );
  return computed(() => {
    const group = path();
    return group === null || answer.value === null ? [] : groupPoints(answer.value.data_points, group);
  });
}
