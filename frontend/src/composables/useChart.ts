/** One ECharts instance bound to an element: loaded lazily, drawn only while visible, resized with its element. */
import { computed, onBeforeUnmount, onMounted, shallowRef, watch, type Ref } from 'vue';
import type { EChartsCoreOption } from 'echarts/core';
import type { EChartsType } from '@/charts/echarts';
import { useInSight } from './useInSight';
import { useObserver } from './useObserver';

export function useChart(
  element: Readonly<Ref<HTMLElement | null>>,
  option: Readonly<Ref<EChartsCoreOption>>,
) {
  // The element once it has a chart: only from then on sight matters, so that each chart is full at first paint.
  const drawnIn = shallowRef<HTMLElement | null>(null);
  const ready = computed(() => drawnIn.value !== null);
  const width = shallowRef(0);
  const visible = useInSight(drawnIn);
  let chart: EChartsType | null = null;

  const sizes = new ResizeObserver(() => {
    const el = element.value;
    if (el === null) return;
    width.value = el.clientWidth;
    chart?.resize({ width: el.clientWidth, height: el.clientHeight });
  });
  useObserver(drawnIn, sizes);

  onMounted(async () => {
    const { init } = await import('@/charts/echarts');
    const el = element.value;
    if (el === null) return; // the reader left meanwhile
    chart = init(el, null, { renderer: 'canvas' });
    // Drawn at once by setOption: nothing waits for the ten frames that the renderer stays awake for otherwise.
    chart.getZr().setSleepAfterStill(1);
    drawnIn.value = el;
  });

  // Off screen the option is not even computed.
  watch(
    () => (ready.value && visible.value ? option.value : null),
    (next) => {
      if (next !== null) chart?.setOption(next, { replaceMerge: ['series'], silent: true });
    },
    { flush: 'post' },
  );

  onBeforeUnmount(() => {
    chart?.dispose();
    chart = null;
  });

  return { ready, width };
}
