/**
 * Histograms of the whole shown range, merged by the server, so that their quantiles are those of all its events. A live
 * range asks again when it has moved on enough to matter.
 */
import { computed, shallowRef, watch } from 'vue';
import type { Span } from '@/charts/geometry';
import type { Histogram } from '@/api/types';
import { histogramsIn } from '@/series/histogram';
import { aligned, intervalFor } from '@/series/range';
import { useTimeStore } from '@/stores/time';
import { useHistoryQuery } from './useHistoryQuery';

/** A live range is asked for this many times per length, but at most every five seconds. */
const QUESTIONS_PER_RANGE = 60;
const MIN_STEP_MS = 5000;
/** Of the range, which is widened to whole ones. */
const PARTS = 900;

export function useMerged(
  metricType: () => string,
  paths: () => readonly string[],
  span: () => Span,
  host: () => string | undefined = () => undefined,
) {
  const time = useTimeStore();
  const asked = shallowRef(span());
  watch(span, (next) => {
    const length = next.to - next.from;
    const step = Math.max(MIN_STEP_MS, length / QUESTIONS_PER_RANGE);
    const isSame = time.following && length === asked.value.to - asked.value.from;
    if (!isSame || Math.abs(next.to - asked.value.to) >= step) asked.value = next;
  });

  const { answer } = useHistoryQuery(() => {
    if (paths().length === 0) return null;
    const { from, to } = asked.value;
    const whole = aligned(asked.value, intervalFor(to - from, PARTS).ms);
    return { metricType: metricType(), ...whole, fields: paths(), interval: 'range', host: host() };
  });
  const found = computed(() => new Map(histogramsIn('', answer.value?.data_points[0]?.data)));

  return (path: string): Histogram | null => found.value.get(`.${path}`) ?? null;
}
