/** The machine that the server watches, which tells its name and its time zone. */
import { defineStore } from 'pinia';
import { shallowRef, watch } from 'vue';
import { configuration } from '@/api/server';
import { plain } from '@/series/who/group';
import { useAuthStore } from './auth';

export const useMachineStore = defineStore('machine', () => {
  const auth = useAuthStore();
  /** Its host name, or null if it is not known. */
  const name = shallowRef<string | null>(null);
  /** As the server says, or null. */
  const timeZone = shallowRef<string | null>(null);

  async function load(): Promise<void> {
    try {
      const { system } = await configuration();
      name.value = plain(system.hostname);
      timeZone.value = system.time_zone ?? null;
    } catch {
      // Not known, then.
    }
  }
  watch(
    () => auth.signedIn,
    (signedIn) => {
      if (signedIn) void load();
    },
    { immediate: true },
  );

  return { name, timeZone };
});
