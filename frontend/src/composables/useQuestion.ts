/** The answer to a question to the server that changes: the last answer stays until the next one is here. */
import { onScopeDispose, shallowRef, watch } from 'vue';
import { useHistoryStore } from '@/stores/history';

export function useQuestion<Q, A>(
  question: () => Q | null,
  ask: (question: Q, signal: AbortSignal) => Promise<A>,
  /** Whether the last answer says nothing of the new question, not even for a moment. */
  isOther: (now: Q | null, before: Q | null | undefined) => boolean = () => false,
) {
  const history = useHistoryStore();
  const answer = shallowRef<A | null>(null);
  const busy = shallowRef(false);
  const error = shallowRef<string | null>(null);
  let pending: AbortController | null = null;

  async function load(wanted: Q): Promise<void> {
    pending?.abort();
    const mine = new AbortController();
    pending = mine;
    busy.value = true;
    try {
      const found = await ask(wanted, mine.signal);
      if (pending === mine) answer.value = found;
      if (pending === mine) error.value = null;
    } catch (caught) {
      const sentence = history.explain(caught);
      if (pending === mine) error.value = sentence;
    }
    if (pending === mine) busy.value = false;
  }

  function reload(): void {
    const wanted = question();
    if (wanted !== null) void load(wanted);
  }

  watch(
    question,
    (wanted, before) => {
      if (JSON.stringify(wanted) === JSON.stringify(before)) return;
      if (isOther(wanted, before)) answer.value = null;
      reload();
    },
    { immediate: true },
  );
  onScopeDispose(() => pending?.abort());

  return { answer, busy, error, reload };
}
