/** The wall clock as a ref: one timer for the whole page, running only while used. */
import { getCurrentScope, onScopeDispose, readonly, shallowRef } from 'vue';

const now = shallowRef(Date.now());
let users = 0;
let timer: ReturnType<typeof setInterval> | undefined;

export function useNow() {
  if (getCurrentScope() !== undefined) {
    users += 1;
    now.value = Date.now();
    timer ??= setInterval(() => {
      now.value = Date.now();
    }, 1000);
    onScopeDispose(() => {
      users -= 1;
      if (users > 0) return;
      clearInterval(timer);
      timer = undefined;
    });
  }
  return readonly(now);
}
