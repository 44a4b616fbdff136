/** The longer time around the shown range, of which the range is a part. */
import type { Span } from './range';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** A range this long gets an overview longer than a day. */
const LONG = 16 * HOUR;
const CONTEXT = 1.5;

const contains = (outer: Span, inner: Span): boolean => inner.from >= outer.from && inner.to <= outer.to;

/**
 * The last day, if the range is in it; else the day that contains the range, or one around it. The overview stays while
 * the range moves within it.
 */
export function overviewOf(
  range: Span,
  now: number,
  midnightBefore: (ms: number) => number,
  previous: Span | null,
): Span {
  const length = range.to - range.from;
  if (length > LONG) {
    const to = Math.min(now, (range.from + range.to) / 2 + (length * CONTEXT) / 2);
    return { from: Math.min(range.from, to - length * CONTEXT), to: Math.max(to, range.to) };
  }
  const last = { from: now - DAY, to: Math.max(now, range.to) };
  if (contains(last, range)) return last;
  const isDay = previous !== null && previous.to - previous.from <= 1.1 * DAY;
  if (isDay && previous.to <= now && contains(previous, range)) return previous;
  const midnight = midnightBefore((range.from + range.to) / 2);
  const day = { from: midnight, to: midnight + DAY };
  if (contains(day, range)) return day;
  const middle = (range.from + range.to) / 2;
  return { from: middle - DAY / 2, to: middle + DAY / 2 };
}

export type Grip = 'from' | 'to' | 'window';

/** Half of a finger: how far from an edge it can still be gripped, pixels. */
const REACH = 20;

/** Which part of the window, at `left` to `right` pixels, a press at `x` grips; null outside. */
export function gripAt(x: number, left: number, right: number): Grip | null {
  // The middle half always moves the window, however narrow it is.
  const inside = Math.min(REACH / 2, (right - left) / 4);
  if (x > left - REACH && x < left + inside) return 'from';
  if (x > right - inside && x < right + REACH) return 'to';
  return x >= left && x <= right ? 'window' : null;
}

/** The range after its grip moved by `by` milliseconds. */
export function moved(range: Span, grip: Grip, by: number, shortest: number): Span {
  if (grip === 'from') return { from: Math.min(range.from + by, range.to - shortest), to: range.to };
  if (grip === 'to') return { from: range.from, to: Math.max(range.to + by, range.from + shortest) };
  return { from: range.from + by, to: range.to + by };
}
