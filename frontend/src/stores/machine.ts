/** The machine that the page is about, by its name and its time zone: the server's own, or one of a fleet. */
import { defineStore } from 'pinia';
import { computed, shallowRef, watch } from 'vue';
import { configuration } from '@/api/server';
import { plain } from '@/series/who/group';
import { useAuthStore } from './auth';
import { useFleetStore } from './fleet';

export const useMachineStore = defineStore('machine', () => {
  const auth = useAuthStore();
  const fleet = useFleetStore();
  /** The server's own. */
  const own = shallowRef<{ name: string; timeZone: string | null } | null>(null);
  /** Its host name, or null if it is not known. */
  const name = computed(() => {
    if (!fleet.isHub) return own.value?.name ?? null;
    return fleet.chosen === null ? null : plain(fleet.current?.name ?? fleet.chosen);
  });
  const timeZone = computed(() =>
    fleet.isHub ? (fleet.facts?.time_zone ?? null) : (own.value?.timeZone ?? null),
  );

  async function load(): Promise<void> {
    try {
      const { system } = await configuration();
      own.value = { name: plain(system.hostname), timeZone: system.time_zone ?? null };
    } catch {
      // Not known, then.
    }
  }
  watch(
    () => auth.signedIn,
    (signedIn) => {
      if (signedIn && !fleet.isHub) void load();
    },
    { immediate: true },
  );

  return { name, timeZone };
});
