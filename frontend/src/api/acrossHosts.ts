/** Questions about many hosts at once. */
import { http } from './http';
import type { Span } from './history';
import type { ChangesOfHosts, SeriesOfHosts } from './types';

const iso = (ms: number): string => new Date(ms).toISOString();

export interface SeriesQuery extends Span {
  /** Metric type and path without labels. */
  field: string;
  /** Hosts shown one by one. */
  limit: number;
}

/** One field on every host: the largest one by one, the others as a band. */
export async function seriesOfHosts(query: SeriesQuery, signal: AbortSignal): Promise<SeriesOfHosts> {
  const { field, from, to, limit } = query;
  const params = { field, limit, start_time: iso(from), end_time: iso(to) };
  return (await http.get<SeriesOfHosts>('/api/fleet/series', { params, signal })).data;
}

/** What changed on some of the hosts: those after `after`, if it is given. */
export async function changesOfHosts(
  current: Span,
  comparison: Span,
  after: string | null,
  signal: AbortSignal,
): Promise<ChangesOfHosts> {
  const params = {
    start_time_1: iso(current.from),
    end_time_1: iso(current.to),
    start_time_2: iso(comparison.from),
    end_time_2: iso(comparison.to),
    ...(after === null ? {} : { after }),
  };
  return (await http.get<ChangesOfHosts>('/api/fleet/changes', { params, signal })).data;
}
