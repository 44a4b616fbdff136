import { http } from './http';
import type { Profile, ProfileComparison } from './types';

/** Whose stacks: those that match all that is given. */
export interface ProfileFilters {
  process?: string;
  pid?: number;
  thread?: string;
  /** A path, with everything below it. */
  cgroup?: string;
}

export interface ProfileQuery {
  kind: 'cpu' | 'off_cpu';
  filters: ProfileFilters;
  /** Milliseconds since the epoch. */
  from: number;
  to: number;
}

export interface ProfileComparisonQuery extends ProfileQuery {
  comparison: { from: number; to: number; host?: string | undefined };
}

export type ProfileFormat = 'pprof' | 'folded';

const iso = (ms: number): string => new Date(ms).toISOString();
/** Functions ranked by change. */
const MAX_CHANGES = 500;

const rangeOf = ({ kind, filters, from, to }: ProfileQuery) => ({
  kind,
  ...filters,
  start_time: iso(from),
  end_time: iso(to),
});

export async function profile(query: ProfileQuery, signal: AbortSignal): Promise<Profile> {
  return (await http.get<Profile>('/api/profiles', { params: rangeOf(query), signal })).data;
}

export async function profileFile(query: ProfileQuery, format: ProfileFormat): Promise<Blob> {
  const params = { ...rangeOf(query), format };
  return (await http.get<Blob>('/api/profiles', { params, responseType: 'blob', timeout: 0 })).data;
}

export async function profileComparison(
  { kind, filters, from, to, comparison }: ProfileComparisonQuery,
  signal: AbortSignal,
): Promise<ProfileComparison> {
  const params = {
    kind,
    ...filters,
    start_time_1: iso(from),
    end_time_1: iso(to),
    start_time_2: iso(comparison.from),
    end_time_2: iso(comparison.to),
    compare_host: comparison.host,
    limit: MAX_CHANGES,
  };
  return (await http.get<ProfileComparison>('/api/profiles/compare', { params, signal })).data;
}
