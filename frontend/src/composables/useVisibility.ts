/** Whether an element is in or near the viewport, or printed. */
import { computed, shallowRef, type Ref } from 'vue';
import { usePreferencesStore } from '@/stores/preferences';
import { useObserver } from './useObserver';

/** Margin around the viewport within which charts stay current, so that scrolling shows no outdated one. */
const MARGIN = '200px';

export function useVisibility(
  element: Readonly<Ref<Element | null>>,
  untilKnown = true,
): Readonly<Ref<boolean>> {
  const preferences = usePreferencesStore();
  const visible = shallowRef(untilKnown);
  const observer = new IntersectionObserver(
    (entries) => {
      visible.value = entries.at(-1)?.isIntersecting ?? true;
    },
    { rootMargin: MARGIN },
  );
  useObserver(element, observer);
  return computed(() => visible.value || preferences.printing);
}
