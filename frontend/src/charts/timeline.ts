/** A chart of series over time as an ECharts option. Pure: the same input gives the same picture. */
import type { EChartsCoreOption } from 'echarts/core';
import { format, type Unit } from '@/format/units';
import { plot, type Span } from './geometry';
import { palettes, type Accent, type Theme } from './palette';
import { niceScale } from './scale';
import { timeTicks } from './timeAxis';

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

/** No sample for two and a half intervals is a gap; less is jitter. */
export const GAP = 2.5;

/**
 * `time, value, time, value, …` as ECharts copies it fastest; NaN where the line breaks. An array for each point
 * would be a hundred thousand small objects per tick.
 */
export function points(times: ArrayLike<number>, values: ArrayLike<number>, interval: number): Float64Array {
  const gap = interval * GAP;
  let gaps = 0;
  for (let i = 1; i < times.length; i += 1) if ((times[i] ?? NaN) - (times[i - 1] ?? NaN) > gap) gaps += 1;
  const out = new Float64Array(2 * (times.length + gaps));
  let at = 0;
  for (let i = 0; i < times.length; i += 1) {
    const time = times[i] ?? NaN;
    const previous = times[i - 1] ?? NaN;
    if (time - previous > gap) {
      out[at++] = previous + interval;
      out[at++] = NaN;
    }
    out[at++] = time;
    out[at++] = values[i] ?? NaN;
  }
  return out;
}

/** Smallest and largest drawn value, zero included. */
function extentOf(input: TimelineInput): { min: number; max: number } {
  let [min, max] = [0, 0];
  if (input.stacked === true) {
    const length = Math.max(0, ...input.series.map((s) => s.values.length));
    for (let i = 0; i < length; i += 1) {
      let sum = 0;
      for (const { values } of input.series) sum += finite(values[i]);
      max = Math.max(max, sum);
    }
    return { min, max };
  }
  for (const { values, low, high } of input.series) {
    for (let i = 0; i < values.length; i += 1) {
      const value = finite(values[i]);
      max = Math.max(max, value, finite(high?.[i]));
      min = Math.min(min, value, finite(low?.[i]));
    }
  }
  return { min, max };
}

const finite = (value: number | undefined): number =>
  value === undefined || !Number.isFinite(value) ? 0 : value;

const dimensions = ['time', 'value'];

function lineSeries(series: SeriesData, input: TimelineInput, order: number) {
  const colour = palettes[input.theme].accents[series.colour];
  const filled = input.stacked === true || series.area === true;
  return {
    id: `line:${series.name}`,
    name: series.name,
    type: 'line',
    dimensions,
    data: points(series.times, series.values, input.interval),
    showSymbol: areApart(series, input),
    symbolSize: 4,
    silent: true,
    animation: false,
    z: 10 - order,
    itemStyle: { color: colour },
    lineStyle: {
      width: input.stacked === true ? 1 : 1.5,
      color: colour,
      type: series.dashed === true ? [4, 3] : 'solid',
    },
    ...(filled ? { areaStyle: { color: colour, opacity: input.stacked === true ? 0.55 : 0.14 } } : {}),
    ...(input.stacked === true ? { stack: 'total', stackStrategy: 'all' } : {}),
  };
}

/** Pixels between points from which each is marked. */
const APART_PX = 16;

/** Points that can be told apart are marked; a single one has no line at all. */
function areApart({ times }: SeriesData, { span, interval, width, stacked }: TimelineInput): boolean {
  return times.length === 1 || (stacked !== true && (interval / (span.to - span.from)) * width >= APART_PX);
}

/** The band between a bucket's extremes: an invisible base with the difference stacked on it. */
function bandSeries(series: SeriesData, input: TimelineInput) {
  const { low, high } = series;
  // Extremes of parts do not add up to those of the whole.
  if (input.stacked === true || low === undefined || high === undefined) return [];
  const colour = palettes[input.theme].accents[series.colour];
  const height = Float64Array.from(high, (value, i) => value - (low[i] ?? NaN));
  const base = {
    type: 'line',
    dimensions,
    stack: `band:${series.name}`,
    stackStrategy: 'all',
    showSymbol: false,
    silent: true,
    animation: false,
    lineStyle: { opacity: 0 },
    z: 1,
  };
  return [
    { ...base, id: `low:${series.name}`, data: points(series.times, low, input.interval) },
    {
      ...base,
      id: `high:${series.name}`,
      data: points(series.times, height, input.interval),
      areaStyle: { color: colour, opacity: 0.18 },
    },
  ];
}

/** All-zero series of a stack: their line would only hide the one below. The bottom one is always drawn. */
function isEmpty(series: SeriesData, input: TimelineInput, order: number): boolean {
  if (input.stacked !== true || order === 0) return false;
  const { values } = series;
  let i = 0;
  while (i < values.length && finite(values[i]) === 0) i += 1;
  return i === values.length;
}

export function timelineOption(input: TimelineInput): EChartsCoreOption {
  const palette = palettes[input.theme];
  const { min, max } = extentOf(input);
  const scale = niceScale(input.max ?? Math.max(max, -min), input.unit);
  const ticks = timeTicks(input.span, input.width - plot.left - plot.right, plot.right);
  return {
    animation: false,
    backgroundColor: 'transparent',
    // The plot area is fixed, so labels need not be measured.
    grid: { ...plot, outerBoundsMode: 'none' },
    textStyle: { fontFamily: 'inherit' },
    xAxis: {
      type: 'time',
      min: input.span.from,
      max: input.span.to,
      axisLine: { lineStyle: { color: palette.line } },
      axisTick: { show: false },
      splitLine: { show: false },
      axisLabel: {
        color: palette.dim,
        fontSize: 10,
        customValues: ticks.map(({ time }) => time),
        formatter: (value: number) => ticks.find(({ time }) => time === value)?.label ?? '',
      },
    },
    yAxis: {
      type: 'value',
      // Zero is in the middle when there are negative values.
      min: min < 0 ? -scale.max : 0,
      max: input.max ?? scale.max,
      interval: scale.step,
      axisLabel: {
        color: palette.dim,
        fontSize: 10,
        formatter: (value: number) => format(value, input.unit),
      },
      splitLine: { lineStyle: { color: palette.line, opacity: 0.6 } },
    },
    series: input.series.flatMap((series, order) =>
      isEmpty(series, input, order) ? [] : [...bandSeries(series, input), lineSeries(series, input, order)],
    ),
  };
}
