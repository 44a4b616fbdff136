/** One thing a button does: at work, done, or refused with the server's sentence. */
import { shallowRef } from 'vue';

export function useAction<A extends unknown[]>(act: (...args: A) => Promise<string>) {
  const busy = shallowRef(false);
  /** What came of it, in a sentence. */
  const done = shallowRef<string | null>(null);
  const problem = shallowRef<string | null>(null);

  async function run(...args: A): Promise<boolean> {
    busy.value = true;
    done.value = problem.value = null;
    try {
      done.value = await act(...args);
      return true;
    } catch (caught) {
      problem.value = caught instanceof Error ? caught.message : String(caught);
      return false;
    } finally {
      busy.value = false;
    }
  }

  return { busy, done, problem, run };
}
