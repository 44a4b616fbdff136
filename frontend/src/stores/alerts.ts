/** What fires or is pending now; its history and rules are read when they are looked at. */
import { defineStore } from 'pinia';
import { computed, shallowRef } from 'vue';
import * as api from '@/api/alerts';
import { toApiError } from '@/api/http';
import type { Alert } from '@/api/types';

export const useAlertsStore = defineStore('alerts', () => {
  /** The worst first; null until known. */
  const current = shallowRef<readonly Alert[] | null>(null);
  const error = shallowRef<string | null>(null);
  /** Raised, and not silenced. */
  const firing = computed(() =>
    (current.value ?? []).filter(({ episode, silenced_by }) => episode && !silenced_by),
  );

  async function load(): Promise<void> {
    try {
      current.value = await api.current();
      error.value = null;
    } catch (caught) {
      error.value = toApiError(caught).message;
    }
  }

  async function acknowledge(episode: string, note: string): Promise<void> {
    await api.acknowledge(episode, note.trim() === '' ? null : note.trim());
    await load();
  }

  return {
    current,
    error,
    firing,
    load,
    acknowledge,
    past: api.past,
    rules: api.rules,
    putRule: api.putRule,
    deleteRule: api.deleteRule,
  };
});
