/** The server's ranking of what was used, for a reactive query. */
import { useHistoryStore, type RankingQuery } from '@/stores/history';
import { useTimeStore } from '@/stores/time';
import { useQuery } from './useQuery';

export function useRanking(query: () => RankingQuery | null) {
  const history = useHistoryStore();
  const time = useTimeStore();
  /** What is ranked; null asks nothing for a while, which does not make the answer one about something else. */
  let subject: string | null = null;
  return useQuery(
    query,
    history.ranking,
    (now) => {
      if (now === null) return false;
      const before = subject;
      subject = JSON.stringify([now.by, now.whose]);
      return subject !== before;
    },
    () => time.following,
  );
}
