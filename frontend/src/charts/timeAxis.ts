/** Whole times for an axis, in the shown zone, with the date at each midnight. */
import { clockTime, dayOf, dayText, shortTime, yearText } from '@/format/time';
import { momentOf, offsetAt } from '@/format/zone';
import type { Span } from './geometry';

export interface TimeTick {
  time: number;
  label: string;
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const STEPS = [
  ...[1, 2, 5, 10, 15, 30].map((n) => n * SECOND),
  ...[1, 2, 5, 10, 15, 30].map((n) => n * MINUTE),
  ...[1, 2, 3, 6, 12].map((n) => n * HOUR),
  ...[1, 2, 7, 14, 28, 91, 182].map((n) => n * DAY),
];

/** Pixels of a label: digits of the axis' font, and some space. */
const CHARACTER_PX = 6.2;
const SPACE_PX = 16;

function labelOf(time: number, step: number, crossesYear: boolean): string {
  const isMidnight = (time + offsetAt(time)) % DAY === 0;
  if (step < DAY && !isMidnight) return step < MINUTE ? clockTime(time) : shortTime(time);
  return crossesYear && step >= DAY ? yearText(time) : dayText(time);
}

function* multiples(span: Span, step: number): Generator<number> {
  let shown = Math.ceil((span.from + offsetAt(span.from)) / step) * step;
  for (let time = momentOf(shown); time <= span.to; shown += step, time = momentOf(shown)) {
    if (time >= span.from) yield time;
  }
}

/** Ticks for an axis `width` pixels wide; none whose label would be cut off at the right edge. */
export function timeTicks(span: Span, width: number, right = 0): TimeTick[] {
  const length = span.to - span.from;
  if (!(length > 0) || width <= 0) return [];
  const crossesYear = yearText(span.from).slice(-4) !== yearText(span.to).slice(-4);
  const widest = (step: number): number => (step < MINUTE ? 8 : step < DAY ? 6 : crossesYear ? 11 : 6);
  const step =
    STEPS.find((one) => (one / length) * width >= widest(one) * CHARACTER_PX + SPACE_PX) ?? 364 * DAY;
  const ticks: TimeTick[] = [];
  for (const time of multiples(span, step)) {
    const label = labelOf(time, step, crossesYear);
    const half = (label.length * CHARACTER_PX) / 2;
    if (((span.to - time) / length) * width + right >= half) ticks.push({ time, label });
  }
  return dated(ticks, span, step, width);
}

/** Where midnight itself has no room, the nearest label that follows or precedes it says the date. */
function dated(ticks: TimeTick[], span: Span, step: number, width: number): TimeTick[] {
  const first = ticks[0];
  if (first === undefined || step >= DAY || dayOf(span.from) === dayOf(span.to)) return ticks;
  if (ticks.some(({ time }) => (time + offsetAt(time)) % DAY === 0)) return ticks;
  const label = `${dayText(first.time)} ${first.label}`;
  // It is longer: what it would cover goes.
  const pixels = (time: number): number => ((time - first.time) / (span.to - span.from)) * width;
  const clear = ((label.length + first.label.length) / 2) * CHARACTER_PX + SPACE_PX;
  return [{ ...first, label }, ...ticks.slice(1).filter(({ time }) => pixels(time) >= clear)];
}
