/** The time zone of the page: the browser's, UTC, or the server's, which the server tells. */
import { defineStore } from 'pinia';
import { computed, shallowRef, watch } from 'vue';
import { configuration } from '@/api/server';
import { browserZone, isZone, showZone } from '@/format/zone';
import { useAuthStore } from './auth';
import { usePreferencesStore } from './preferences';

export const useZoneStore = defineStore('zone', () => {
  const auth = useAuthStore();
  const preferences = usePreferencesStore();
  /** The server's zone, or null if it is not known. */
  const server = shallowRef<string | null>(null);

  async function load(): Promise<void> {
    try {
      const name = (await configuration()).system.time_zone ?? null;
      server.value = name !== null && isZone(name) ? name : null;
    } catch {
      // Not known, then; the choice says so.
    }
  }
  watch(
    () => auth.signedIn,
    (signedIn) => {
      if (signedIn) void load();
    },
    { immediate: true },
  );

  /** A server's zone that is not known leaves the browser's. */
  const shown = computed(() => {
    if (preferences.zone === 'utc') return 'UTC';
    return preferences.zone === 'server' ? (server.value ?? undefined) : undefined;
  });
  watch(shown, showZone, { immediate: true, flush: 'sync' });

  const local = browserZone();
  return { server, local, shown };
});
