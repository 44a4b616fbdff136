/** Keeps the sources' status up to date while a live page is open. */
import { watch } from 'vue';
import { useLiveStore } from '@/stores/live';
import { useSourcesStore } from '@/stores/sources';
import { useRefresh } from './useRefresh';

/** Status rarely changes: when rights are granted, or a probe exceeds its budget. */
const REFRESH_MS = 30_000;

export function useSources(): void {
  const live = useLiveStore();
  const sources = useSourcesStore();
  // Load with the first tick, and after each reconnect.
  watch(
    () => live.hasData && live.connection.kind === 'open',
    (there) => {
      if (there) void sources.load();
    },
    { immediate: true },
  );
  useRefresh(sources.load, REFRESH_MS);
}
