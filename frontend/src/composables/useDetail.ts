/** A detail of the shown time, which is only loaded while the element that shows it is in or near the viewport. */
import { onScopeDispose, watch, type Ref } from 'vue';
import { useShownStore } from '@/stores/shown';
import { useVisibility } from './useVisibility';

/** Whether it is looked at. */
export function useDetail(
  element: Readonly<Ref<Element | null>>,
  path: () => string,
): Readonly<Ref<boolean>> {
  const shown = useShownStore();
  const visible = useVisibility(element, false);
  let leave: (() => void) | null = null;
  watch(
    [visible, path],
    () => {
      leave?.();
      leave = visible.value ? shown.enterView(path()) : null;
    },
    { immediate: true },
  );
  onScopeDispose(() => leave?.());
  return visible;
}
