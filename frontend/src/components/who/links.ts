/** Addresses of the pages of a process, a name or a cgroup. */
import type { RouteLocationRaw } from 'vue-router';
import type { RangeParameters } from '@/stores/time';
import { profileQuery, type Filters } from '@/series/profileView';
import type { Whose } from '@/stores/history';
import type { WhoRow } from '@/series/who/rows';

type Row = Pick<WhoRow, 'kind' | 'id' | 'pid' | 'cgroup'>;

/** Which code of a process, a name or a cgroup ran. */
export function profileLink({ pid, name, cgroup }: Whose, time: RangeParameters): RouteLocationRaw {
  const filters: Filters = {
    ...(pid === undefined ? {} : { pid: pid.toString() }),
    ...(name === undefined ? {} : { process: name }),
    ...(cgroup === undefined ? {} : { cgroup }),
  };
  return { path: '/profile', query: { ...profileQuery({ filters }), ...time } };
}

const segments = (path: string): string[] => path.split('/').filter((part) => part !== '');

export function cgroupLink(path: string, time: RangeParameters): RouteLocationRaw {
  return { name: 'who-cgroup', params: { path: segments(path) }, query: { ...time } };
}

/** Which code of a row ran; null where its name is not known. */
export function rowProfileLink(row: Row, time: RangeParameters): RouteLocationRaw | null {
  if (row.kind === 'cgroup') return row.cgroup === null ? null : profileLink({ cgroup: row.cgroup }, time);
  if (row.id === '') return null;
  const pid = row.kind === 'process' && row.pid !== null ? { pid: row.pid } : {};
  return profileLink({ name: row.id, ...pid }, time);
}

/** Null where there is nothing more to see, as of the processes whose cgroup is not known. */
export function linkOf(row: Row, time: RangeParameters): RouteLocationRaw | null {
  if (row.kind === 'cgroup') return row.cgroup === null ? null : cgroupLink(row.cgroup, time);
  if (row.id === '') return null;
  // Processes that can't be told apart are those of their name.
  if (row.kind === 'name' || row.pid === null)
    return { name: 'who-name', params: { name: row.id }, query: { ...time } };
  return { name: 'who-process', params: { pid: row.pid.toString() }, query: { ...time, name: row.id } };
}
