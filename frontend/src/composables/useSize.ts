/** How large an element is, also on paper, for which the page is laid out anew: observers are told of that too late. */
import { shallowRef, watch, type Ref } from 'vue';
import type { Size } from '@/charts/geometry';
import { usePreferencesStore } from '@/stores/preferences';
import { useObserver } from './useObserver';

export function useSize(element: Readonly<Ref<Element | null>>): Readonly<Ref<Size>> {
  const preferences = usePreferencesStore();
  const size = shallowRef<Size>({ width: 0, height: 0 });

  function measure(): void {
    const { clientWidth: width = 0, clientHeight: height = 0 } = element.value ?? {};
    if (width !== size.value.width || height !== size.value.height) size.value = { width, height };
  }
  useObserver(element, new ResizeObserver(measure));
  // Observers also tell of a new element, but a frame later.
  watch([element, () => preferences.printing], measure, { flush: 'post' });

  return size;
}
