/** Points of history for a question that changes. */
import { useHistoryStore, type PointsQuery } from '@/stores/history';
import { useQuestion } from './useQuestion';

export function useHistoryQuery(query: () => PointsQuery | null) {
  const history = useHistoryStore();
  return useQuestion(query, history.points, (now, before) => now?.metricType !== before?.metricType);
}
