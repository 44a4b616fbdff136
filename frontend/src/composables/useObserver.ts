/** Has an observer of the browser's watch one element, the one that is there now, as long as its component lives. */
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
