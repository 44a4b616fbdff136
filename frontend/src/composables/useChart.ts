/** A chart in an element: loaded lazily, drawn only while visible, and as large as the element. */
import { computed, onBeforeUnmount, onMounted, shallowRef, watch, type Ref } from 'vue';
import type { Picture } from '@/charts/timeline';
import type { Chart, Size } from '@/charts/uplot';
import { useVisibility } from './useVisibility';
import { useObserver } from './useObserver';

export function useChart(element: Readonly<Ref<HTMLElement | null>>, picture: Readonly<Ref<Picture>>) {
  // Set once charts can be drawn: visibility only matters from then on, so that every chart is drawn at first paint.
  const drawnIn = shallowRef<HTMLElement | null>(null);
  const ready = computed(() => drawnIn.value !== null);
  const visible = useVisibility(drawnIn);
  const size = shallowRef<Size | null>(null);
  const width = computed(() => size.value?.width ?? 0);
  let Drawing: typeof Chart | null = null;
  let chart: Chart | null = null;

  const sizes = new ResizeObserver(([entry]) => {
    const { clientWidth = 0, clientHeight = 0 } = entry?.target ?? {};
    size.value = clientWidth > 0 ? { width: clientWidth, height: clientHeight } : null;
  });
  useObserver(drawnIn, sizes);

  onMounted(async () => {
    ({ Chart: Drawing } = await import('@/charts/uplot'));
    // Null if unmounted meanwhile.
    drawnIn.value = element.value;
  });

  // While off screen, the picture is not even computed.
  watch(
    () => (visible.value && size.value !== null ? ([picture.value, size.value] as const) : null),
    (next) => {
      if (next === null || drawnIn.value === null || Drawing === null) return;
      if (chart === null) chart = new Drawing(drawnIn.value, ...next);
      else chart.draw(...next);
    },
    { flush: 'post' },
  );

  onBeforeUnmount(() => {
    chart?.destroy();
    chart = null;
  });

  return { ready, width };
}
