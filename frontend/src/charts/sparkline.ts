import { GAP } from './timeline';

export interface SparkSeries {
  times: ArrayLike<number>;
  values: ArrayLike<number>;
  /** Milliseconds between samples; a longer hole is a gap. */
  interval: number;
}

/** An SVG path from the first to the last sample, with breaks at absent values and where samples are missing. */
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
  let path = '';
  let pen = false;
  for (let i = 0; i < count; i += 1) {
    const time = times[i] ?? NaN;
    if (time - (times[i - 1] ?? time) > interval * GAP) pen = false;
    const value = values[i] ?? NaN;
    if (Number.isNaN(value)) {
      pen = false;
      continue;
    }
    const x = ((time - first) / length) * width;
    const y = height - 1 - (Math.min(value, top) / top) * (height - 2);
    path += `${pen ? 'L' : 'M'}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = true;
  }
  return path;
}
