/** What a chart shows at a moment, for those who hear it. */
import { format, type Unit } from '@/format/units';
import { GAP, type SeriesData } from './timeline';

type Line = Pick<SeriesData, 'name' | 'times' | 'values'>;

/** Index of the sample nearest to `time`; -1 if there is none. */
function nearest(times: ArrayLike<number>, time: number): number {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((times[middle] ?? NaN) < time) low = middle + 1;
    else high = middle;
  }
  const before = low - 1;
  if (low === times.length || (before >= 0 && time - (times[before] ?? NaN) < (times[low] ?? NaN) - time))
    return before;
  return low;
}

/** Names and values; a sample further away than a gap of the line says nothing about `time`. */
export function valuesAt(lines: readonly Line[], unit: Unit, time: number, interval: number): string {
  const texts = lines.flatMap(({ name, times, values }) => {
    const at = nearest(times, time);
    const value = values[at] ?? NaN;
    const isNear = Math.abs((times[at] ?? NaN) - time) <= (interval * GAP) / 2;
    return isNear && !Number.isNaN(value) ? [`${name} ${format(value, unit)}`] : [];
  });
  return texts.length > 0 ? texts.join(', ') : 'no data';
}
