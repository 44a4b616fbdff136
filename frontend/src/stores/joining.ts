/** Hosts of a hub as its administrators see them: how they joined, and what is said of them. */
import { defineStore } from 'pinia';
import { shallowRef } from 'vue';
import { toApiError } from '@/api/http';
import * as api from '@/api/joining';
import type { CreatedJoinToken, KnownHost, Machine } from '@/api/types';

export const useJoiningStore = defineStore('joining', () => {
  const canJoin = shallowRef(false);
  const hosts = shallowRef<KnownHost[]>([]);
  /** Those that may send, by host. */
  const joined = shallowRef<Map<string, Machine>>(new Map());
  const error = shallowRef<string | null>(null);

  async function load(): Promise<void> {
    try {
      const [known, all] = await Promise.all([api.machines(), api.fleetHosts()]);
      canJoin.value = known.can_join;
      const active = known.machines.filter((machine) => machine.revoked_at === null);
      joined.value = new Map(active.map((machine) => [machine.host, machine]));
      hosts.value = all;
      error.value = null;
    } catch (caught) {
      error.value = toApiError(caught).message;
    }
  }

  async function thenReload<T>(change: Promise<T>): Promise<T> {
    const result = await change;
    await load();
    return result;
  }

  const invite = (): Promise<CreatedJoinToken> => api.createJoinToken();
  const revoke = (host: string): Promise<string> => thenReload(api.revokeMachine(host));
  const setLabels = (host: string, labels: Record<string, string>): Promise<void> =>
    thenReload(api.setLabels(host, labels));

  return { canJoin, hosts, joined, error, load, invite, revoke, setLabels };
});
