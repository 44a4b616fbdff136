/** Runs a rule over history while it is edited: the last answer stays until the next one. */
import { onScopeDispose, shallowRef, watch } from 'vue';
import type { AlertPreview, AlertRule } from '@/api/types';
import { useAlertsStore, type InputProblem } from '@/stores/alerts';

/** Typing and dragging settle first. */
const SETTLE_MS = 250;

export function useAlertPreview(rule: () => AlertRule | null, range: () => string) {
  const alerts = useAlertsStore();
  const answer = shallowRef<AlertPreview | null>(null);
  const busy = shallowRef(false);
  const error = shallowRef<string | null>(null);
  const problems = shallowRef<readonly InputProblem[]>([]);
  let timer: ReturnType<typeof setTimeout> | undefined;
  let pending: AbortController | null = null;

  async function load(wanted: AlertRule): Promise<void> {
    pending?.abort();
    const request = new AbortController();
    pending = request;
    try {
      const found = await alerts.preview(wanted, range(), request.signal);
      if (pending !== request) return;
      answer.value = found;
      error.value = null;
      problems.value = [];
    } catch (caught) {
      if (pending !== request) return;
      const refused = alerts.toApiError(caught);
      problems.value = refused.problems;
      error.value = refused.problems.length > 0 ? null : refused.message;
    }
    busy.value = false;
  }

  watch(
    () => JSON.stringify([rule(), range()]),
    () => {
      clearTimeout(timer);
      const wanted = rule();
      busy.value = wanted !== null;
      if (wanted === null) return;
      timer = setTimeout(() => void load(wanted), answer.value === null ? 0 : SETTLE_MS);
    },
    { immediate: true },
  );
  onScopeDispose(() => {
    clearTimeout(timer);
    pending?.abort();
  });

  return { answer, busy, error, problems };
}
