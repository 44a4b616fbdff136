/** After an upgrade of the server, parts of the page that were not loaded yet are gone: the page loads itself anew, once. */
import { defineStore } from 'pinia';
import { shallowRef } from 'vue';
import { basePath } from '@/api/base';

const KEY = 'perfwatch.reloaded';
/** If a part is missing again so soon, reloading does not help. */
const AGAIN_AFTER_MS = 60_000;

export const useUpgradeStore = defineStore('upgrade', () => {
  const reloadedAt = Number(sessionStorage.getItem(KEY) ?? NaN);
  const isRecent = (): boolean => Date.now() - reloadedAt < AGAIN_AFTER_MS;
  /** What there is to say of it. */
  const note = shallowRef<'reloaded' | 'incomplete' | null>(isRecent() ? 'reloaded' : null);

  window.addEventListener('vite:preloadError', () => void onMissing());

  async function onMissing(): Promise<void> {
    // Without a server there is nothing to load; the stream's state shows that.
    const answer = await fetch(`${basePath}/health`).catch(() => null);
    if (answer === null) return;
    if (isRecent()) {
      note.value = 'incomplete';
      return;
    }
    sessionStorage.setItem(KEY, Date.now().toString());
    window.location.reload();
  }

  function dismiss(): void {
    note.value = null;
  }

  return { note, dismiss };
});
