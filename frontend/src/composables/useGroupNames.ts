/** What the live document `cgroups` calls the groups of this machine, for rows that do not say it. */
import { computed } from 'vue';
import type { Group } from '@/api/types';
import type { WhoRow } from '@/series/who/rows';
import { titleOf } from '@/series/who/group';
import { useLiveStore } from '@/stores/live';

export function useGroupNames() {
  const live = useLiveStore();
  const known = computed(
    () =>
      new Map(
        (live.latest?.data.cgroups?.groups ?? []).map(({ cgroup, kind, name, image }): [string, Group] => [
          cgroup,
          { kind, name, image: image ?? null },
        ]),
      ),
  );

  function named(rows: readonly WhoRow[]): readonly WhoRow[] {
    if (known.value.size === 0) return rows;
    return rows.map((row) => {
      const group = row.cgroup === null || row.group !== null ? undefined : known.value.get(row.cgroup);
      if (group === undefined) return row;
      const name = row.kind === 'cgroup' ? titleOf(row.id, group).name : row.name;
      return { ...row, group, name };
    });
  }

  const groupOf = (path: string): Group | null => known.value.get(path) ?? null;

  return { named, groupOf };
}
