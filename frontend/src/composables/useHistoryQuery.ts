/** Points of history for a reactive query. */
import { useHistoryStore, type PointsQuery } from '@/stores/history';
import { useQuery } from './useQuery';

export function useHistoryQuery(query: () => PointsQuery | null) {
  const history = useHistoryStore();
  return useQuery(query, history.points, (now, before) => now?.metricType !== before?.metricType);
}
