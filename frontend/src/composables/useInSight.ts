/** Whether an element can be seen, or soon: true until that is known. */
import { shallowRef, type Ref } from 'vue';
import { useObserver } from './useObserver';

/** How far beyond the edge of what is seen a picture is kept current, so that scrolling meets no old one. */
const MARGIN = '200px';

export function useInSight(element: Readonly<Ref<Element | null>>): Readonly<Ref<boolean>> {
  const visible = shallowRef(true);
  const sights = new IntersectionObserver(
    (entries) => {
      visible.value = entries.at(-1)?.isIntersecting ?? true;
    },
    { rootMargin: MARGIN },
  );
  useObserver(element, sights);
  return visible;
}
