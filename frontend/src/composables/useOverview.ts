/** CPU, pressure and events over the overview of the time bar. */
import { computed, shallowRef, watch } from 'vue';
import { midnightBefore } from '@/format/time';
import { overviewOf } from '@/series/overview';
import { aligned, intervalFor, type Span } from '@/series/range';
import { Stretch, type Plotted } from '@/series/stretch';
import { useClockStore } from '@/stores/clock';
import type { PointsQuery } from '@/stores/history';
import { useTimeStore } from '@/stores/time';
import { useHistoryEvents } from './useHistoryEvents';
import { useHistoryQuery } from './useHistoryQuery';
import { useNow } from './useNow';

const POINTS = 300;
const STALLS = ['cpu.some.avg10', 'memory.some.avg10', 'io.some.avg10'];
/** The overview ends at a whole minute, and is asked for once a minute. */
const MINUTE = 60_000;

export function useOverview() {
  const clock = useClockStore();
  const time = useTimeStore();
  const browserNow = useNow();
  const now = computed(() => Math.ceil((browserNow.value + clock.offsetMs) / MINUTE) * MINUTE);

  const span = shallowRef<Span>({ from: now.value - 86_400_000, to: now.value });
  watch(
    [() => JSON.stringify(time.range), now],
    () => {
      span.value = overviewOf(time.span, now.value, midnightBefore, span.value);
    },
    { immediate: true },
  );

  const interval = computed(() => intervalFor(span.value.to - span.value.from, POINTS));
  const query = (metricType: Plotted, fields: readonly string[]): PointsQuery => ({
    metricType,
    ...aligned(span.value, interval.value.ms),
    interval: interval.value.name,
    fields,
  });
  const cpu = useHistoryQuery(() => query('cpu', ['usage_percent']));
  const pressure = useHistoryQuery(() => query('pressure', STALLS));
  const episodes = useHistoryEvents(() => span.value);

  const usage = computed(() => {
    const { values, high, isRaw } = new Stretch(
      'cpu',
      cpu.answer.value?.data_points ?? [],
      interval.value.ms,
    );
    const average = values.slice('cpu.usage_percent', -Infinity);
    return { ...average, high: isRaw ? average.values : high.slice('cpu.usage_percent', -Infinity).values };
  });
  /** The highest of all stalls in each point. */
  const stalls = computed(() => {
    const points = pressure.answer.value?.data_points ?? [];
    const { values, high, isRaw } = new Stretch('pressure', points, interval.value.ms);
    const all = STALLS.map((path) => (isRaw ? values : high).slice(`pressure.${path}`, -Infinity));
    const times = all[0]?.times ?? new Float64Array();
    const highest = Float64Array.from(times, (_, i) => {
      const known = all.map((one) => one.values[i] ?? NaN).filter((value) => !Number.isNaN(value));
      return known.length > 0 ? Math.max(...known) : NaN;
    });
    return { times, values: highest };
  });

  return { span, now, interval, usage, stalls, episodes, busy: cpu.busy };
}
