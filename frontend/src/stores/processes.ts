/** Every process of the newest tick. The stream has only the busiest, so this is asked for while someone looks at it. */
import { defineStore } from 'pinia';
import { shallowRef } from 'vue';
import { toApiError } from '@/api/http';
import * as api from '@/api/processes';
import type { ProcessList } from '@/api/types';

/** A server that could not answer is left alone for a while. */
const AGAIN_AFTER_MS = 10_000;

export const useProcessesStore = defineStore('processes', () => {
  const list = shallowRef<ProcessList | null>(null);
  /** Why there is no list. */
  const error = shallowRef<string | null>(null);
  let pending: AbortController | null = null;
  let notBefore = 0;

  /** Asks, unless an answer is still on its way. */
  async function load(): Promise<void> {
    if (pending !== null || Date.now() < notBefore) return;
    const mine = new AbortController();
    pending = mine;
    try {
      const answer = await api.allProcesses(mine.signal);
      if (mine.signal.aborted) return;
      list.value = answer;
      error.value = null;
    } catch (caught) {
      if (mine.signal.aborted) return;
      list.value = null;
      error.value = toApiError(caught).message;
      notBefore = Date.now() + AGAIN_AFTER_MS;
    }
    pending = null;
  }

  /** Nobody looks any more. */
  function leave(): void {
    pending?.abort();
    pending = null;
    notBefore = 0;
    list.value = null;
    error.value = null;
  }

  return { list, error, load, leave };
});
