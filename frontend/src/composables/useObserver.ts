/** Attaches a browser observer to an element ref for the lifetime of the scope. */
import { onScopeDispose, watch, type Ref } from 'vue';

export function useObserver(
  element: Readonly<Ref<Element | null>>,
  observer: Pick<ResizeObserver, 'observe' | 'disconnect'>,
): void {
  watch(
    element,
    (now) => {
      observer.disconnect();
      if (now !== null) observer.observe(now);
    },
    { immediate: true, flush: 'post' },
  );
  onScopeDispose(() => {
    observer.disconnect();
  });
}
