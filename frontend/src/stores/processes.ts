/** All processes of the newest tick. The stream has only the busiest, so the page requests the rest while it is open. */
import { defineStore } from 'pinia';
import { shallowRef } from 'vue';
import { toApiError } from '@/api/http';
import * as api from '@/api/processes';
import type { ProcessList } from '@/api/types';

/** Delay after a failed request. */
const RETRY_DELAY_MS = 10_000;

export const useProcessesStore = defineStore('processes', () => {
  const list = shallowRef<ProcessList | null>(null);
  /** Why there is no list. */
  const error = shallowRef<string | null>(null);
  let pending: AbortController | null = null;
  let notBefore = 0;

  /** Requests the list unless a request is pending. */
  async function load(): Promise<void> {
    if (pending !== null || Date.now() < notBefore) return;
    const request = new AbortController();
    pending = request;
    try {
      const answer = await api.allProcesses(request.signal);
      if (request.signal.aborted) return;
      list.value = answer;
      error.value = null;
    } catch (caught) {
      if (request.signal.aborted) return;
      list.value = null;
      error.value = toApiError(caught).message;
      notBefore = Date.now() + RETRY_DELAY_MS;
    }
    pending = null;
  }

  /** The list of this moment, which is not kept. */
  const once = api.allProcesses;

  /** The page was left. */
  function leave(): void {
    pending?.abort();
    pending = null;
    notBefore = 0;
    list.value = null;
    error.value = null;
  }

  return { list, error, load, once, leave };
});
