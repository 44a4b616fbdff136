/** CPU, pressure and events over the overview of the time bar. */
import { computed, shallowRef, watch } from 'vue';
import { midnightBefore } from '@/format/time';
import { overviewOf } from '@/series/overview';
import { aligned, intervalFor, type Span } from '@/series/range';
import { Ring } from '@/series/ring';
import { useClockStore } from '@/stores/clock';
import { useHistoryStore } from '@/stores/history';
import { useShownStore } from '@/stores/shown';
import { useTimeStore } from '@/stores/time';
import { useHistoryEvents } from './useHistoryEvents';
import { useNow } from './useNow';
import { useQuery } from './useQuery';

const POINTS = 300;
const STALLS = ['cpu', 'memory', 'io'].map((of) => `pressure.${of}.some.avg10`);
const NOTHING = new Ring(0);
/** The overview ends at a whole minute, and is asked for once a minute. */
const MINUTE = 60_000;

export function useOverview() {
  const clock = useClockStore();
  const history = useHistoryStore();
  const shown = useShownStore();
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

  // What the page shows comes first.
  const asked = shallowRef(span.value);
  watch([span, () => shown.complete], () => {
    if (shown.complete) asked.value = span.value;
  });

  const interval = computed(() => intervalFor(asked.value.to - asked.value.from, POINTS));
  const { answer, busy } = useQuery(
    () => ({
      ...aligned(asked.value, interval.value.ms),
      interval: interval.value.name,
      fields: ['cpu.usage_percent', ...STALLS],
    }),
    (query, signal) => history.stretches(query, interval.value.ms, signal),
  );
  const episodes = useHistoryEvents(() => asked.value);

  /** Of every point, and the highest of its samples. */
  function valuesOf(path: string) {
    const stretch = answer.value?.get(path.slice(0, path.indexOf('.')));
    const { times, values } = (stretch?.values ?? NOTHING).slice(path, -Infinity);
    const high = stretch?.isRaw === false ? stretch.high.slice(path, -Infinity).values : values;
    return { times, values, high };
  }
  const usage = computed(() => valuesOf('cpu.usage_percent'));
  /** The highest of all stalls in each point. */
  const stalls = computed(() => {
    const all = STALLS.map(valuesOf);
    const times = all[0]?.times ?? new Float64Array();
    const highest = Float64Array.from(times, (_, i) => {
      const known = all.map((one) => one.high[i] ?? NaN).filter((value) => !Number.isNaN(value));
      return known.length > 0 ? Math.max(...known) : NaN;
    });
    return { times, values: highest };
  });

  return { span, now, interval, usage, stalls, episodes, busy };
}
