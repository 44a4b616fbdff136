/** Downloads a profile for other tools. */
import { shallowRef } from 'vue';
import { useHistoryStore } from '@/stores/history';
import { useProfilesStore, type ProfileFormat, type ProfileQuery } from '@/stores/profiles';
import { download } from './useExport';

const endings: Record<ProfileFormat, string> = { pprof: 'pb', folded: 'folded' };

export function useProfileFile() {
  const history = useHistoryStore();
  const profiles = useProfilesStore();
  const busy = shallowRef(false);
  const problem = shallowRef<string | null>(null);

  async function save(query: ProfileQuery, format: ProfileFormat): Promise<void> {
    busy.value = true;
    try {
      const blob = await profiles.file(query, format);
      const stamp = new Date(query.from).toISOString().slice(0, 16).replaceAll(':', '');
      download(blob, `perfwatch-${query.kind}-${stamp}.${endings[format]}`);
      problem.value = null;
    } catch (caught) {
      problem.value = history.explain(caught);
    }
    busy.value = false;
  }

  return { busy, problem, save };
}
