/** Asks again regularly, while someone looks at the page. */
import { onScopeDispose } from 'vue';

export function useRefresh(load: () => unknown, everyMs: number): void {
  const timer = setInterval(() => {
    if (document.visibilityState === 'visible') load();
  }, everyMs);
  onScopeDispose(() => {
    clearInterval(timer);
  });
}
