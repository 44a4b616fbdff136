/** State of a button's action: busy, done with a message, or failed with the server's. */
import { shallowRef } from 'vue';

export function useAction<A extends unknown[]>(act: (...args: A) => Promise<string>) {
  const busy = shallowRef(false);
  /** The result message. */
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
