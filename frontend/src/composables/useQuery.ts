/** The server's answer to a reactive query; the previous one stays until the next arrives. */
import { onScopeDispose, shallowRef, watch } from 'vue';
import { useHistoryStore } from '@/stores/history';

export function useQuery<Q, A>(
  query: () => Q | null,
  fetch: (query: Q, signal: AbortSignal) => Promise<A>,
  /** Whether to drop the previous answer at once, since it is about something else. */
  isOther: (now: Q | null, before: Q | null | undefined) => boolean = () => false,
  /** Whether a pending answer is waited for, so that a range that moves on gets one however long it takes. */
  isPatient: () => boolean = () => false,
) {
  const history = useHistoryStore();
  const answer = shallowRef<A | null>(null);
  const busy = shallowRef(false);
  const error = shallowRef<string | null>(null);
  let pending: AbortController | null = null;
  /** Whether to ask again afterwards. */
  let isOutdated = false;

  async function load(wanted: Q): Promise<void> {
    pending?.abort();
    const request = new AbortController();
    pending = request;
    busy.value = true;
    try {
      const found = await fetch(wanted, request.signal);
      if (pending === request) answer.value = found;
      if (pending === request) error.value = null;
    } catch (caught) {
      const sentence = history.explain(caught);
      if (pending === request) error.value = sentence;
    }
    if (pending !== request) return;
    busy.value = false;
    if (isOutdated) reload();
  }

  /** Nothing is asked any more: the server need not go on. */
  function giveUp(): void {
    pending?.abort();
    pending = null;
    busy.value = false;
  }

  function reload(): void {
    isOutdated = false;
    const wanted = query();
    if (wanted !== null) void load(wanted);
    else if (!isPatient()) giveUp();
  }

  watch(
    query,
    (wanted, before) => {
      if (JSON.stringify(wanted) === JSON.stringify(before)) return;
      const isAboutOther = isOther(wanted, before);
      if (isAboutOther) answer.value = null;
      if (busy.value && !isAboutOther && isPatient()) isOutdated = true;
      else reload();
    },
    { immediate: true },
  );
  onScopeDispose(() => pending?.abort());

  return { answer, busy, error, reload };
}
