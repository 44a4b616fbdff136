/** A chart of series over time as an ECharts option. Pure: the same input gives the same picture. */
import type { EChartsCoreOption } from 'echarts/core';
import { axisTime } from '@/format/time';
import { format, type Unit } from '@/format/units';
import { plot, type Span } from './geometry';
import { palettes, type Accent, type Theme } from './palette';
import { niceScale } from './scale';

export interface SeriesData {
  name: string;
  colour: Accent;
  times: ArrayLike<number>;
  values: ArrayLike<number>;
  /** Extremes of each point's bucket, drawn as a band behind the line. */
  low?: ArrayLike<number>;
  high?: ArrayLike<number>;
  /** A second look besides colour. */
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
  /** A fixed top, such as 100 % or all memory. */
  max?: number | null;
  /** Milliseconds between samples; a longer hole is drawn as a gap. */
  interval: number;
}

type Point = [time: number, value: number | null];

/** Two and a half intervals without a sample is a gap; less is jitter. */
export const GAP = 2.5;

export function points(times: ArrayLike<number>, values: ArrayLike<number>, interval: number): Point[] {
  const out: Point[] = [];
  let previous = NaN;
  for (let i = 0; i < times.length; i += 1) {
    const time = times[i] ?? NaN;
    const value = values[i] ?? NaN;
    if (time - previous > interval * GAP) out.push([previous + interval, null]);
    out.push([time, Number.isNaN(value) ? null : value]);
    previous = time;
  }
  return out;
}

function peakOf(input: TimelineInput): number {
  let peak = 0;
  if (input.stacked === true) {
    const length = Math.max(0, ...input.series.map((s) => s.values.length));
    for (let i = 0; i < length; i += 1) {
      peak = Math.max(
        peak,
        input.series.reduce((sum, s) => sum + finite(s.values[i]), 0),
      );
    }
    return peak;
  }
  for (const { values, high } of input.series) {
    peak = Array.from(high ?? values).reduce((top, value) => Math.max(top, finite(value)), peak);
  }
  return peak;
}

function lowestOf(input: TimelineInput): number {
  let lowest = 0;
  for (const { values } of input.series) {
    lowest = Array.from(values).reduce((least, value) => Math.min(least, finite(value)), lowest);
  }
  return lowest;
}

const finite = (value: number | undefined): number =>
  value === undefined || !Number.isFinite(value) ? 0 : value;

function lineSeries(series: SeriesData, input: TimelineInput, order: number) {
  const colour = palettes[input.theme].accents[series.colour];
  const filled = input.stacked === true || series.area === true;
  return {
    id: `line:${series.name}`,
    name: series.name,
    type: 'line',
    data: points(series.times, series.values, input.interval),
    showSymbol: isLonely(series),
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

/** A single sample has no line to show it. */
function isLonely(series: SeriesData): boolean {
  return series.times.length === 1;
}

/** The band between a bucket's extremes: an invisible base with the difference stacked on it. */
function bandSeries(series: SeriesData, input: TimelineInput) {
  const { low, high } = series;
  if (low === undefined || high === undefined) return [];
  const colour = palettes[input.theme].accents[series.colour];
  const height = Array.from(high, (value, i) => value - (low[i] ?? NaN));
  const base = {
    type: 'line',
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

/** Fewer labels where there is little room for them. */
function splits(span: Span): number {
  return span.to - span.from > 26 * 3_600_000 ? 4 : 5;
}

export function timelineOption(input: TimelineInput): EChartsCoreOption {
  const palette = palettes[input.theme];
  const lowest = lowestOf(input);
  const scale = niceScale(input.max ?? Math.max(peakOf(input), -lowest), input.unit);
  const width = input.span.to - input.span.from;
  return {
    animation: false,
    backgroundColor: 'transparent',
    grid: { ...plot, containLabel: false },
    textStyle: { fontFamily: 'inherit' },
    xAxis: {
      type: 'time',
      min: input.span.from,
      max: input.span.to,
      splitNumber: splits(input.span),
      axisLine: { lineStyle: { color: palette.line } },
      axisTick: { show: false },
      splitLine: { show: false },
      axisLabel: {
        color: palette.dim,
        fontSize: 10,
        hideOverlap: true,
        showMinLabel: false,
        showMaxLabel: false,
        formatter: (value: number) => axisTime(value, width),
      },
    },
    yAxis: {
      type: 'value',
      // Differences have zero in the middle.
      min: lowest < 0 ? -scale.max : 0,
      max: input.max ?? scale.max,
      interval: scale.step,
      axisLabel: {
        color: palette.dim,
        fontSize: 10,
        formatter: (value: number) => format(value, input.unit),
      },
      splitLine: { lineStyle: { color: palette.line, opacity: 0.6 } },
    },
    series: input.series.flatMap((series, order) => [
      ...bandSeries(series, input),
      lineSeries(series, input, order),
    ]),
  };
}
