/** A chart in an element: loaded lazily, drawn only while visible, and as large as the element. */
import { computed, onBeforeUnmount, onMounted, shallowRef, watch, type Ref } from 'vue';
import type { Picture } from '@/charts/timeline';
import type { Chart } from '@/charts/uplot';
import { useSize } from './useSize';
import { useVisibility } from './useVisibility';

export function useChart(element: Readonly<Ref<HTMLElement | null>>, picture: Readonly<Ref<Picture>>) {
  // Set once charts can be drawn: visibility only matters from then on, so that every chart is drawn at first paint.
  const drawnIn = shallowRef<HTMLElement | null>(null);
  const ready = computed(() => drawnIn.value !== null);
  const visible = useVisibility(drawnIn);
  const size = useSize(drawnIn);
  const width = computed(() => size.value.width);
  let Drawing: typeof Chart | null = null;
  let chart: Chart | null = null;

  onMounted(async () => {
    ({ Chart: Drawing } = await import('@/charts/uplot'));
    // Null if unmounted meanwhile.
    drawnIn.value = element.value;
  });

  // While off screen, the picture is not even computed.
  watch(
    () => (visible.value && width.value > 0 ? ([picture.value, size.value] as const) : null),
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
