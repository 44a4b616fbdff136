/** Who used what in the shown time: the newest tick's processes while live, otherwise the ranking of the range. */
import { computed, type Ref } from 'vue';
import type { SortKey } from '@/series/who/lines';
import {
  isWorthARow,
  liveRows,
  liveTotal,
  rankedRows,
  withCourses,
  type Kind,
  type Used,
  type WhoRow,
} from '@/series/who/rows';
import type { RankingQuery, Whose } from '@/stores/history';
import { useLiveStore } from '@/stores/live';
import { useTimeStore } from '@/stores/time';
import { useAllProcesses } from './useAllProcesses';
import { useRanking } from './useRanking';
import { useSteadySpan } from './useSteadySpan';

/** Rows of a ranking; what the others used is shown as a sum. */
const MAX_ROWS = 500;

/** What the server can rank by; other columns only sort what is listed. */
const orders = new Set<SortKey>([
  'cpu_percent',
  'rss_bytes',
  'runqueue_wait_ms_per_sec',
  'context_switches_per_sec',
  'read_bytes_per_sec',
  'write_bytes_per_sec',
  'minor_faults_per_sec',
  'major_faults_per_sec',
  'processes',
]);
export const orderOf = (sort: SortKey): string => (orders.has(sort) ? sort : 'cpu_percent');

const queryFor = (
  kind: Kind,
  sort: SortKey,
  whose: Whose,
  { from, to }: { from: number; to: number },
): RankingQuery => ({ whose, by: kind, order: orderOf(sort), limit: MAX_ROWS, from, to });

export function useWho(kind: Readonly<Ref<Kind>>, sort: Readonly<Ref<SortKey>>) {
  const live = useLiveStore();
  const time = useTimeStore();
  const { span, refresh } = useSteadySpan();
  const now = computed(() => time.isStreamed);
  const all = useAllProcesses(() => now.value);
  // Live it is only for the course of each row.
  const ranking = useRanking(() =>
    queryFor(kind.value, now.value ? 'cpu_percent' : sort.value, {}, now.value ? span.value : time.span),
  );

  const ranked = computed<readonly WhoRow[]>(() => {
    const { answer } = ranking;
    return answer.value === null ? [] : rankedRows(answer.value);
  });
  const document = computed(() => live.latest?.data.processes);
  const rows = computed<readonly WhoRow[]>(() => {
    if (!now.value) return ranked.value;
    // Until the list is loaded, or if that fails, the busiest ones of the stream.
    const found = all.list?.processes ?? document.value?.top ?? [];
    return withCourses(liveRows(found, kind.value), ranked.value);
  });

  const total = computed<Used | null>(() => {
    if (!now.value) return ranking.answer.value?.total.data ?? null;
    return all.list === null ? (document.value?.total ?? null) : liveTotal(all.list);
  });
  const other = computed<Used | null>(() => {
    const rest = now.value ? null : (ranking.answer.value?.other.data ?? null);
    return rest !== null && isWorthARow(rest) ? rest : null;
  });

  const busy = computed(() => (now.value ? all.list === null && all.error === null : ranking.busy.value));
  const error = computed(() => (now.value ? null : ranking.error.value));

  return {
    now,
    rows,
    total,
    other,
    busy,
    error,
    all,
    ranking: ranking.answer,
    reload: ranking.reload,
    refresh,
  };
}
