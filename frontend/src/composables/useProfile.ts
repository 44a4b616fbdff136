/** The profile of the shown time, or its comparison with another; the whole view is in the URL. */
import { computed, shallowRef, watch } from 'vue';
import { useRoute, useRouter } from 'vue-router';
import { paintedFrames } from '@/flame/colours';
import { frameHashes, hashIn, hashText, pathOf, ROOT, treeOf } from '@/flame/tree';
import { comparedWith } from '@/series/historyView';
import { parseProfileView, profileQuery, type ProfileView } from '@/series/profileView';
import { useLiveStore } from '@/stores/live';
import { usePreferencesStore } from '@/stores/preferences';
import { useProfilesStore, type ProfileFilters, type ProfileQuery } from '@/stores/profiles';
import { useTimeStore } from '@/stores/time';
import { useQuery } from './useQuery';
import { useSteadySpan } from './useSteadySpan';

/** Answers are large, and who reads one does not want it to change all the time. */
const REFRESH_MS = 15_000;

export function useProfile() {
  const route = useRoute();
  const router = useRouter();
  const live = useLiveStore();
  const preferences = usePreferencesStore();
  const profiles = useProfilesStore();
  const time = useTimeStore();

  const view = computed(() => parseProfileView(route.query));
  function change(part: Partial<ProfileView>, entry: 'new' | 'same' = 'new'): Promise<unknown> {
    const { theme } = route.query;
    const query = {
      ...profileQuery({ ...view.value, ...part }),
      ...time.parameters,
      ...(typeof theme === 'string' ? { theme } : {}),
    };
    return entry === 'new' ? router.push({ query }) : router.replace({ query });
  }

  // Comparisons are too much work to be repeated all the time, and what is paused stays.
  const moves = (): boolean => view.value.comparison === null && live.pausedAt === null;
  const { span, refresh } = useSteadySpan(moves, REFRESH_MS);
  const query = computed((): ProfileQuery => {
    const { kind, filters } = view.value;
    const { pid, ...texts } = filters;
    const whose: ProfileFilters = { ...texts, ...(pid === undefined ? {} : { pid: Number(pid) }) };
    return { kind, filters: whose, ...span.value };
  });
  const about = (one: ProfileQuery | null | undefined): string => JSON.stringify([one?.kind, one?.filters]);

  const profile = useQuery(
    () => query.value,
    profiles.profile,
    (now, before) => about(now) !== about(before),
    () => time.following,
  );
  const compared = computed(() =>
    view.value.comparison === null ? null : comparedWith(view.value.comparison, span.value),
  );
  const comparison = useQuery(
    () => (compared.value === null ? null : { ...query.value, comparison: compared.value }),
    profiles.comparison,
    (now, before) => now === null || about(now) !== about(before),
  );
  const isComparing = computed(() => compared.value !== null);

  const tree = computed(() => {
    if (!isComparing.value)
      return profile.answer.value === null
        ? null
        : treeOf(profile.answer.value.functions, profile.answer.value.nodes);
    const found = comparison.answer.value;
    return found === null ? null : treeOf(found.functions, found.nodes, found.current, found.comparison);
  });
  const hashes = computed(() => (tree.value === null ? new Float64Array(1) : frameHashes(tree.value)));
  const painted = computed(() => (tree.value === null ? null : paintedFrames(tree.value, preferences.theme)));

  /** Hashes of the zoomed frame and its callers: where a later answer lacks the frame, its caller is shown. */
  const path = shallowRef<readonly number[]>([]);
  const zoomed = computed(() => {
    const { zoomed: key } = view.value;
    if (key === null) return ROOT;
    const wanted = hashIn(key);
    const known = path.value.at(-1) === wanted ? path.value : [wanted];
    for (const hash of known.toReversed()) {
      const frame = hashes.value.indexOf(hash);
      if (frame > ROOT) return frame;
    }
    return ROOT;
  });
  watch(
    [tree, () => view.value.zoomed],
    ([found, key]) => {
      const isFound = key !== null && hashes.value[zoomed.value] === hashIn(key);
      if (found !== null && isFound)
        path.value = pathOf(found, zoomed.value).map((frame) => hashes.value[frame] ?? 0);
    },
    { immediate: true },
  );
  function zoom(frame: number): void {
    const hash = hashes.value[frame];
    void change({ zoomed: frame === ROOT || hash === undefined ? null : hashText(hash) });
  }

  const selected = computed(() => {
    const { selected: key } = view.value;
    const found = key === null ? -1 : (tree.value?.functionHashes.indexOf(hashIn(key)) ?? -1);
    return found < 0 ? null : found;
  });
  function select(fn: number | null): Promise<unknown> {
    const hash = fn === null ? undefined : tree.value?.functionHashes[fn];
    // They are beside the table.
    const part = fn !== null && view.value.part === 'graph' ? 'both' : view.value.part;
    return change({ selected: hash === undefined ? null : hashText(hash), part });
  }

  return {
    view,
    change,
    span,
    refresh,
    query,
    profile: profile.answer,
    comparison: computed(() => (isComparing.value ? comparison.answer.value : null)),
    compared,
    tree,
    hashes,
    painted,
    zoomed,
    zoom,
    selected,
    select,
    busy: computed(() => profile.busy.value || (isComparing.value && comparison.busy.value)),
    error: computed(() => (isComparing.value ? comparison.error.value : profile.error.value)),
    reload: () => {
      if (isComparing.value) comparison.reload();
      profile.reload();
    },
  };
}
