/** The time zone of the page: the browser's, UTC, or the server's, which the server tells. */
import { defineStore } from 'pinia';
import { computed, watch } from 'vue';
import { browserZone, isZone, showZone } from '@/format/zone';
import { useMachineStore } from './machine';
import { usePreferencesStore } from './preferences';

export const useZoneStore = defineStore('zone', () => {
  const machine = useMachineStore();
  const preferences = usePreferencesStore();
  /** The server's zone, or null if it is not known. */
  const server = computed(() => {
    const { timeZone } = machine;
    return timeZone !== null && isZone(timeZone) ? timeZone : null;
  });

  /** A server's zone that is not known leaves the browser's. */
  const shown = computed(() => {
    if (preferences.zone === 'utc') return 'UTC';
    return preferences.zone === 'server' ? (server.value ?? undefined) : undefined;
  });
  watch(shown, showZone, { immediate: true, flush: 'sync' });

  const local = browserZone();
  return { server, local, shown };
});
