/** The visible rows of a long list; all rows have the same height. */
import { computed, onMounted, shallowRef, type Ref } from 'vue';
import { useSize } from './useSize';

/** Extra rows beyond both edges, so that fast scrolling shows no gaps. */
const OVERSCAN = 8;
/** Pixels, until it is measured. */
const UNKNOWN_HEIGHT = 600;

export function useVirtualRows<T>(
  scroller: Readonly<Ref<HTMLElement | null>>,
  rows: Readonly<Ref<readonly T[]>>,
  /** For the width of the list, pixels. */
  heightAt: (width: number) => number,
) {
  const top = shallowRef(0);
  const size = useSize(scroller);
  const width = computed(() => size.value.width);
  const height = computed(() => size.value.height || UNKNOWN_HEIGHT);
  function onScroll(): void {
    top.value = scroller.value?.scrollTop ?? 0;
  }
  onMounted(() => {
    scroller.value?.addEventListener('scroll', onScroll, { passive: true });
  });

  const rowHeight = computed(() => heightAt(width.value));
  const first = computed(() => {
    const last = Math.max(0, rows.value.length - Math.ceil(height.value / rowHeight.value));
    return Math.max(0, Math.min(Math.floor(top.value / rowHeight.value), last) - OVERSCAN);
  });
  const visible = computed(() =>
    rows.value.slice(first.value, first.value + Math.ceil(height.value / rowHeight.value) + 2 * OVERSCAN),
  );
  const before = computed(() => first.value * rowHeight.value);
  const total = computed(() => rows.value.length * rowHeight.value);

  return { visible, first, before, total, width, rowHeight };
}
