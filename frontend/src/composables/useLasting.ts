/** Whether something has been going on for a while: an answer that comes soon does not dim what it replaces. */
import { onScopeDispose, readonly, shallowRef, watch, type Ref } from 'vue';

const WHILE_MS = 300;

export function useLasting(goesOn: () => boolean): Readonly<Ref<boolean>> {
  const lasting = shallowRef(false);
  let timer: ReturnType<typeof setTimeout> | undefined;
  watch(
    goesOn,
    (now) => {
      clearTimeout(timer);
      if (!now) lasting.value = false;
      else timer = setTimeout(() => (lasting.value = true), WHILE_MS);
    },
    { immediate: true },
  );
  onScopeDispose(() => {
    clearTimeout(timer);
  });
  return readonly(lasting);
}
