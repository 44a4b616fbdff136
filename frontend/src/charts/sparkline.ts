import { GAP } from './timeline';

export interface SparkSeries {
  times: ArrayLike<number>;
  values: ArrayLike<number>;
  /** Milliseconds between samples; a longer hole is a gap. */
  interval: number;
}

/**
 * An SVG path from the first to the last sample, with breaks at absent values and where samples are missing. Of many on the
 * same pixel only the lowest and the highest are drawn, since others would not be seen.
 */
export function sparkPath(
  { times, values, interval }: SparkSeries,
  width: number,
  height: number,
  max: number | null = null,
): string {
  const count = values.length;
  if (count < 2) return '';
  let top = max ?? 0;
  if (max === null) for (let i = 0; i < count; i += 1) top = Math.max(top, values[i] ?? 0);
  if (!(top > 0)) top = 1;
  const first = times[0] ?? 0;
  const length = (times[count - 1] ?? 0) - first;
  const isDense = count > 2 * width;
  const x = (i: number): number => (((times[i] ?? NaN) - first) / length) * width;
  const y = (i: number): number => height - 1 - (Math.min(values[i] ?? NaN, top) / top) * (height - 2);
  let path = '';
  let pen = false;
  let pixel = NaN;
  let [low, high] = [NaN, NaN];
  const draw = (i: number): void => {
    path += `${pen ? 'L' : 'M'}${x(i).toFixed(1)} ${y(i).toFixed(1)}`;
    pen = true;
  };
  const finish = (): void => {
    if (Number.isNaN(pixel)) return;
    draw(Math.min(low, high));
    if (low !== high) draw(Math.max(low, high));
    pixel = NaN;
  };
  for (let i = 0; i < count; i += 1) {
    const value = values[i] ?? NaN;
    const isGap = (times[i] ?? NaN) - (times[i - 1] ?? NaN) > interval * GAP;
    const at = isDense ? Math.floor(x(i)) : i;
    if (isGap || Number.isNaN(value) || at !== pixel) finish();
    if (isGap || Number.isNaN(value)) pen = false;
    if (Number.isNaN(value)) continue;
    if (at !== pixel) [pixel, low, high] = [at, i, i];
    if (value < (values[low] ?? NaN)) low = i;
    if (value > (values[high] ?? NaN)) high = i;
  }
  finish();
  return path;
}
