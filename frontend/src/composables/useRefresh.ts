/** Reloads regularly while the page is visible. */
import { onScopeDispose } from 'vue';

export function useRefresh(load: () => unknown, intervalMs: number): void {
  const timer = setInterval(() => {
    if (document.visibilityState === 'visible') load();
  }, intervalMs);
  onScopeDispose(() => {
    clearInterval(timer);
  });
}
