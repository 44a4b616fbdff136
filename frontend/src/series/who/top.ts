/** The services and processes of the newest tick that use the most CPU. Pure. */
import type { Documents, Group } from '@/api/types';
import { titleOf } from './group';
import { rowOfProcess, type WhoRow } from './rows';

export type TopRow = Pick<WhoRow, 'key' | 'kind' | 'id' | 'name' | 'pid' | 'cgroup' | 'used'>;
type Processes = NonNullable<Documents['processes']>;

const byCpu = (a: TopRow, b: TopRow): number => (b.used.cpu_percent ?? 0) - (a.used.cpu_percent ?? 0);
const isActive = ({ used }: TopRow): boolean => (used.cpu_percent ?? 0) > 0;

/** `known`: what the paths of cgroups are, as far as the server has told. */
export function topGroups(
  { cgroups }: Processes,
  known: ReadonlyMap<string, Group>,
  limit: number,
): TopRow[] {
  const rows = (cgroups ?? []).flatMap(({ cgroup, ...used }): TopRow[] => {
    if (typeof cgroup !== 'string') return [];
    const { name } = titleOf(cgroup, known.get(cgroup));
    return [{ key: cgroup, kind: 'cgroup', id: cgroup, name, pid: null, cgroup, used }];
  });
  return rows.filter(isActive).sort(byCpu).slice(0, limit);
}

export function topProcesses({ top }: Processes, limit: number): TopRow[] {
  return (top ?? []).map(rowOfProcess).filter(isActive).sort(byCpu).slice(0, limit);
}
