/** An ECharts instance bound to an element: loaded lazily, drawn only while visible, resized with the element. */
import { computed, onBeforeUnmount, onMounted, shallowRef, watch, type Ref } from 'vue';
import type { EChartsCoreOption } from 'echarts/core';
import type { EChartsType } from '@/charts/echarts';
import { usePreferencesStore } from '@/stores/preferences';
import { useVisibility } from './useVisibility';
import { useObserver } from './useObserver';

export function useChart(
  element: Readonly<Ref<HTMLElement | null>>,
  option: Readonly<Ref<EChartsCoreOption>>,
) {
  const preferences = usePreferencesStore();
  // Set once the chart exists: visibility only matters from then on, so that every chart is drawn at first paint.
  const drawnIn = shallowRef<HTMLElement | null>(null);
  const ready = computed(() => drawnIn.value !== null);
  const width = shallowRef(0);
  const visible = useVisibility(drawnIn);
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
    if (el === null) return; // unmounted meanwhile
    chart = init(el, null, { renderer: 'canvas' });
    // setOption draws at once, so the renderer need not stay awake for its default ten frames.
    chart.getZr().setSleepAfterStill(1);
    drawnIn.value = el;
  });

  // While off screen, the option is not even computed.
  watch(
    () => (ready.value && visible.value ? option.value : null),
    (next) => {
      if (next === null) return;
      chart?.setOption(next, { replaceMerge: ['series'], silent: true });
      // Nothing waits for the next frame then.
      if (preferences.printing) chart?.getZr().flush();
    },
    { flush: 'post' },
  );

  onBeforeUnmount(() => {
    chart?.dispose();
    chart = null;
  });

  return { ready, width };
}
