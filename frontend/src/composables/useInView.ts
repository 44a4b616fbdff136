/**
 * Tells the store that a part of what is shown is in or near the viewport: a card, the overview or a detail. What is in view is
 * loaded first; details are only loaded then.
 */
import { onScopeDispose, watch, type Ref } from 'vue';
import { useShownStore } from '@/stores/shown';
import { useVisibility } from './useVisibility';

/** Whether it is looked at. */
export function useInView(
  element: Readonly<Ref<Element | null>>,
  part: () => string,
): Readonly<Ref<boolean>> {
  const shown = useShownStore();
  const visible = useVisibility(element, false);
  let leave: (() => void) | null = null;
  watch(
    [visible, part],
    () => {
      leave?.();
      leave = visible.value ? shown.enterView(part()) : null;
    },
    { immediate: true },
  );
  onScopeDispose(() => leave?.());
  return visible;
}
