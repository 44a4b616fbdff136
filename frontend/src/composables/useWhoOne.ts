/** What one process, all of a name, or a cgroup used in the shown time, and of which processes it consists. */
import { computed, type Ref } from 'vue';
import { intervalMs } from '@/series/points';
import { aligned, intervalFor } from '@/series/range';
import { rankedRows, rowOfProcess, type WhoRow } from '@/series/who/rows';
import { useHistoryStore, type UsageQuery, type Whose } from '@/stores/history';
import { useTimeStore } from '@/stores/time';
import { useAllProcesses } from './useAllProcesses';
import { useGroupPoints } from './useGroupPoints';
import { useHistoryEvents } from './useHistoryEvents';
import { useQuery } from './useQuery';
import { useSteadySpan } from './useSteadySpan';
import { useRanking } from './useRanking';

/** Points across a chart. */
const MAX_POINTS = 400;
const MAX_ROWS = 200;

const same = (a: Whose | undefined, b: Whose | undefined): boolean => JSON.stringify(a) === JSON.stringify(b);

export function useWhoOne(whose: Readonly<Ref<Whose>>, order: Readonly<Ref<string>>) {
  const history = useHistoryStore();
  const time = useTimeStore();
  const { span } = useSteadySpan();
  const interval = computed(() => intervalFor(time.length, MAX_POINTS));

  const points = useQuery(
    (): UsageQuery => ({
      whose: whose.value,
      interval: interval.value.name,
      ...aligned(span.value, interval.value.ms),
    }),
    history.usage,
    (now, before) => !same(now?.whose, before?.whose),
    () => time.following,
  );
  const ranking = useRanking(() => ({
    whose: whose.value,
    by: 'process',
    order: order.value,
    limit: MAX_ROWS,
    ...span.value,
  }));
  const rows = computed<readonly WhoRow[]>(() =>
    ranking.answer.value === null ? [] : rankedRows(ranking.answer.value),
  );
  const episodes = useHistoryEvents(() => span.value);

  const group = useGroupPoints(() => whose.value.cgroup ?? null, span, interval);

  const isOne = computed(() => whose.value.pid !== undefined);
  const all = useAllProcesses(() => time.isStreamed && isOne.value);
  /** As it is now; undefined if that is not known, null if it is not there. */
  const present = computed<WhoRow | null | undefined>(() => {
    if (!time.isStreamed || all.list === null || all.list.truncated) return undefined;
    const { pid, name } = whose.value;
    const found = all.list.processes.find(
      (one) => one.pid === pid && (name === undefined || one.comm === name),
    );
    return found === undefined || found.exited === true ? null : rowOfProcess(found);
  });

  return {
    span,
    /** Milliseconds per point. */
    width: computed(() => intervalMs(points.answer.value?.interval ?? interval.value.name)),
    points: points.answer,
    ranking: ranking.answer,
    /** Of a cgroup: what its own files say. */
    group,
    rows,
    episodes,
    present,
    busy: computed(() => points.busy.value || ranking.busy.value),
    error: computed(() => points.error.value ?? ranking.error.value),
    reload: () => {
      points.reload();
      ranking.reload();
    },
  };
}
