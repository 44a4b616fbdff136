/** A heatmap of latencies over time as pixels. Pure: columns in, an image of one pixel per cell out. */
import { nanoseconds } from '@/format/units';
import { rowLow, rowOf, type Column } from '@/series/histogram';
import type { Span } from './geometry';
import { heatPixels, heatStep, type Theme } from './palette';
import { GAP } from './timeline';

export interface HeatInput {
  times: ArrayLike<number>;
  columns: readonly Column[];
  span: Span;
  interval: number;
  theme: Theme;
}

export interface Heat {
  width: number;
  height: number;
  pixels: Uint8ClampedArray<ArrayBuffer>;
  /** The rows shown, bottom to top. */
  rows: { low: number; high: number };
  /** The count drawn in the strongest colour. */
  peak: number;
}

/** Rows that are always shown, 1 µs to 10 ms, so that a quiet machine looks quiet. */
const MIN_ROWS = { low: Math.floor(rowOf(1000)), high: Math.ceil(rowOf(10_000_000)) };

/** Anything shorter is drawn in this row: differences below 64 ns do not matter. */
const FLOOR_ROW = Math.floor(rowOf(64));
const drawnRow = (row: number): number => Math.max(FLOOR_ROW, row);

function extent(columns: readonly Column[]): { low: number; high: number; peak: number } {
  let { low, high } = MIN_ROWS;
  let peak = 0;
  for (const column of columns) {
    for (let i = 0; i < column.length; i += 2) {
      const row = drawnRow(column[i] ?? 0);
      low = Math.min(low, row);
      high = Math.max(high, row);
      peak = Math.max(peak, column[i + 1] ?? 0);
    }
  }
  return { low, high, peak };
}

export function heatmap(input: HeatInput): Heat {
  const { from, to } = input.span;
  const width = Math.max(1, Math.round((to - from) / input.interval));
  const { low, high, peak } = extent(input.columns);
  const height = high - low + 1;
  const pixels = new Uint8ClampedArray(width * height * 4);
  const cells = new Uint32Array(pixels.buffer);
  const scale = heatPixels(input.theme);
  const top = Math.log1p(peak);
  input.columns.forEach((column, index) => {
    const x = Math.ceil(((input.times[index] ?? NaN) - from) / input.interval) - 1;
    if (!(x >= 0 && x < width)) return;
    for (let i = 0; i < column.length; i += 2) {
      const y = high - drawnRow(column[i] ?? 0);
      // Counts span orders of magnitude; a single outlier must stay visible.
      const share = 0.12 + 0.88 * (Math.log1p(column[i + 1] ?? 0) / top);
      cells[y * width + x] = scale[heatStep(share)] ?? 0;
    }
  });
  return { width, height, pixels, rows: { low, high }, peak };
}

export interface Cell {
  /** In the histogram's unit, `high` excluded. */
  low: number;
  high: number;
  count: number;
}

/** What is drawn at a time and a share of the height from the top; null outside, or where nothing was measured. */
export function cellAt(
  { rows }: Pick<Heat, 'rows'>,
  { times, columns, interval }: Pick<HeatInput, 'times' | 'columns' | 'interval'>,
  time: number,
  fromTop: number,
): Cell | null {
  if (!(fromTop >= 0 && fromTop < 1)) return null;
  let i = times.length - 1;
  while (i > 0 && (times[i - 1] ?? NaN) >= time) i -= 1;
  const end = times[i] ?? NaN;
  const column = columns[i];
  if (column === undefined || !(time <= end && time > end - interval)) return null;
  const row = rows.high - Math.floor(fromTop * (rows.high - rows.low + 1));
  let count = 0;
  for (let k = 0; k < column.length; k += 2) {
    if (drawnRow(column[k] ?? 0) === row) count += column[k + 1] ?? 0;
  }
  return { low: row === FLOOR_ROW ? 0 : rowLow(row), high: rowLow(row + 1), count };
}

export interface Tick {
  label: string;
  /** Share of the height, from the top. */
  at: number;
}

/** Labels at the powers of ten within the shown rows. */
export function heatTicks(rows: Heat['rows'], toText: (value: number) => string = nanoseconds): Tick[] {
  const ticks: Tick[] = [];
  const count = rows.high - rows.low + 1;
  for (let value = 1; value <= rowLow(rows.high + 1); value *= 10) {
    const at = 1 - (rowOf(value) - rows.low) / count;
    if (at >= 0 && at <= 1) ticks.push({ label: toText(value), at });
  }
  return ticks;
}

/** An SVG path through `values` (in the histogram's unit) over a heatmap, in a box of 1000 by 100. */
export function heatLine(
  { times, values }: { times: ArrayLike<number>; values: ArrayLike<number> },
  span: Span,
  rows: Heat['rows'],
  interval: number,
): string {
  let path = '';
  let pen = false;
  let previous = NaN;
  for (let i = 0; i < times.length; i += 1) {
    const value = values[i] ?? NaN;
    const time = times[i] ?? NaN;
    if (time - previous > interval * GAP) pen = false;
    previous = time;
    if (!(value > 0)) {
      pen = false;
      continue;
    }
    const x = ((time - span.from) / (span.to - span.from)) * 1000;
    const y = (1 - (rowOf(value) - rows.low) / (rows.high - rows.low + 1)) * 100;
    path += `${pen ? 'L' : 'M'}${x.toFixed(1)} ${Math.min(100, Math.max(0, y)).toFixed(2)}`;
    pen = true;
  }
  return path;
}
