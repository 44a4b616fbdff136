/** Keeps what the sources say of themselves fresh while a live page is open. */
import { watch } from 'vue';
import { useLiveStore } from '@/stores/live';
import { useSourcesStore } from '@/stores/sources';
import { useRefresh } from './useRefresh';

/** States change seldom: when a right is granted, or a probe costs too much. */
const EVERY_MS = 30_000;

export function useSources(): void {
  const live = useLiveStore();
  const sources = useSourcesStore();
  // The first tick tells that the server is there, and again after it was away.
  watch(
    () => live.hasData && live.connection.kind === 'open',
    (there) => {
      if (there) void sources.load();
    },
    { immediate: true },
  );
  useRefresh(sources.load, EVERY_MS);
}
