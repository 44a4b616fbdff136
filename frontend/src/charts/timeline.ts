/** What a chart of series over time shows. Pure: the same input gives the same picture. */
import { format, type Unit } from '@/format/units';
import { plot, type Span } from './geometry';
import { palettes, type Accent, type Theme } from './palette';
import { niceScale } from './scale';
import type { Shape } from './shapes';
import { timeTicks, type TimeTick } from './timeAxis';

export interface SeriesData {
  name: string;
  colour: Accent;
  times: ArrayLike<number>;
  values: ArrayLike<number>;
  /** Extremes of each point's bucket, drawn as a band behind the line. */
  low?: ArrayLike<number>;
  high?: ArrayLike<number>;
  /** Distinguishes lines without colour. */
  dashed?: boolean;
  /** Filled down to the axis. */
  area?: boolean;
}

export interface TimelineInput {
  series: readonly SeriesData[];
  unit: Unit;
  span: Span;
  theme: Theme;
  stacked?: boolean;
  /** Fixed maximum, such as 100 % or total memory. */
  max?: number | null;
  /** Milliseconds between samples; a longer hole is drawn as a gap. */
  interval: number;
  /** Of the chart, pixels. */
  width: number;
}

/** A chart in terms of what is drawn. */
export interface Picture {
  span: Span;
  /** The ends of the vertical axis. */
  low: number;
  high: number;
  times: TimeTick[];
  levels: Level[];
  /** The colours of labels, and of lines behind the shapes. */
  ink: string;
  grid: string;
  /** From back to front. */
  shapes: Shape[];
}

export interface Level {
  value: number;
  label: string;
}

/** No sample for two and a half intervals is a gap; less is jitter. */
export const GAP = 2.5;

const finite = (value: number | undefined): number =>
  value === undefined || !Number.isFinite(value) ? 0 : value;

/** Pixels between points from which each is marked. */
const APART_PX = 16;

/** Whether points can be told apart. */
function areApart({ times }: SeriesData, { span, width }: TimelineInput): boolean {
  const length = (times[times.length - 1] ?? NaN) - (times[0] ?? NaN);
  return (length / (times.length - 1) / (span.to - span.from)) * width >= APART_PX;
}

/** A series as a line, without what it is filled down to. */
function lineOf(series: SeriesData, input: TimelineInput) {
  const isStacked = input.stacked === true;
  return {
    name: series.name,
    colour: palettes[input.theme].accents[series.colour],
    times: series.times,
    values: series.values,
    gap: input.interval * GAP,
    line: { width: isStacked ? 1 : 1.5, dash: series.dashed === true ? [4, 3] : [] },
    dots: !isStacked && areApart(series, input),
  };
}

const isEmpty = ({ values }: SeriesData): boolean => {
  let i = 0;
  while (i < values.length && finite(values[i]) === 0) i += 1;
  return i === values.length;
};

/**
 * Each series upon the sum of those before it. All have the same times; what is not known adds nothing. Those that are
 * all zero are left out: their line would only hide the one below. The bottom one is always drawn.
 */
function stackOf(input: TimelineInput): Shape[] {
  let base = new Float64Array(Math.max(0, ...input.series.map(({ values }) => values.length)));
  return input.series.flatMap((series, order) => {
    if (order > 0 && isEmpty(series)) return [];
    const below = base;
    const values = below.map((sum, i) => sum + (series.values[i] ?? NaN));
    base = below.map((sum, i) => sum + finite(series.values[i]));
    return [{ ...lineOf(series, input), values, area: { base: below, opacity: 0.55 } }];
  });
}

function linesOf(input: TimelineInput): Shape[] {
  return input.series.map((series) => ({
    ...lineOf(series, input),
    ...(series.area === true && {
      area: { base: new Float64Array(series.values.length), opacity: 0.14 },
    }),
  }));
}

/** The bands between the extremes of points. */
function bandsOf(input: TimelineInput): Shape[] {
  return input.series.flatMap((series) => {
    const { low, high } = series;
    if (low === undefined || high === undefined) return [];
    const { name, colour, times, gap } = lineOf(series, input);
    return [{ name, colour, times, gap, values: high, area: { base: low, opacity: 0.18 } }];
  });
}

/** Smallest and largest drawn value, zero included. */
function extentOf(shapes: readonly Shape[]): { min: number; max: number } {
  let [min, max] = [0, 0];
  for (const { values, area } of shapes) {
    for (let i = 0; i < values.length; i += 1) {
      const value = finite(values[i]);
      const base = finite(area?.base[i]);
      max = Math.max(max, value, base);
      min = Math.min(min, value, base);
    }
  }
  return { min, max };
}

/** Each step of the axis, and its end, which is labelled if there is room above the last step. */
function levelsOf(low: number, high: number, step: number, unit: Unit): Level[] {
  const first = Math.round(low / step);
  const steps = Math.floor(high / step - first + 1e-6);
  const levels = Array.from({ length: steps + 1 }, (_, i) => {
    // 0.6, not 0.6000000000000001, which would be 60.0 %.
    const value = Number(((first + i) * step).toPrecision(15));
    return { value, label: format(value, unit) };
  });
  const rest = high / step - (first + steps);
  if (rest > 1e-6) levels.push({ value: high, label: rest < 0.5 ? '' : format(high, unit) });
  return levels;
}

export function timeline(input: TimelineInput): Picture {
  const { unit, span, theme, width, stacked } = input;
  // Extremes of parts do not add up to those of the whole: a stack has no bands. The first series is on top.
  const shapes =
    stacked === true ? stackOf(input).reverse() : [...bandsOf(input), ...linesOf(input).reverse()];
  const { min, max } = extentOf(shapes);
  const scale = niceScale(input.max ?? Math.max(max, -min), unit);
  // Zero is in the middle when there are negative values.
  const low = min < 0 ? -scale.max : 0;
  const high = input.max ?? scale.max;
  return {
    span,
    low,
    high,
    times: timeTicks(span, width - plot.left - plot.right, plot.right),
    levels: levelsOf(low, high, scale.step, unit),
    ink: palettes[theme].dim,
    grid: palettes[theme].line,
    shapes,
  };
}
