/** The server's ranking of what was used, for a reactive query. */
import { useHistoryStore, type RankingQuery } from '@/stores/history';
import { useTimeStore } from '@/stores/time';
import { useQuery } from './useQuery';

export function useRanking(query: () => RankingQuery | null) {
  const history = useHistoryStore();
  const time = useTimeStore();
  return useQuery(
    query,
    history.ranking,
    (now, before) => now?.by !== before?.by || JSON.stringify(now?.whose) !== JSON.stringify(before?.whose),
    () => time.following,
  );
}
