/** Times and dates in the shown time zone, on a 24-hour clock. */
import { momentOf, offsetAt, shownZone } from './zone';

// Not `hour12: false`: in some locales it means hours from 1 to 24, so that midnight reads 24:00.
const clockParts = { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' } as const;
const shapes = {
  clock: clockParts,
  short: { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' },
  day: { month: 'short', day: 'numeric' },
  year: { year: 'numeric', month: 'short', day: 'numeric' },
  full: { year: 'numeric', month: 'short', day: 'numeric', ...clockParts },
} as const satisfies Record<string, Intl.DateTimeFormatOptions>;

const made = new Map<string, Intl.DateTimeFormat>();

function show(shape: keyof typeof shapes, ms: number): string {
  const zone = shownZone();
  const key = `${shape} ${zone ?? ''}`;
  let format = made.get(key);
  if (format === undefined) {
    format = new Intl.DateTimeFormat(undefined, { ...shapes[shape], ...(zone && { timeZone: zone }) });
    made.set(key, format);
  }
  return format.format(ms);
}

export const clockTime = (ms: number): string => show('clock', ms);
export const shortTime = (ms: number): string => show('short', ms);
export const dayText = (ms: number): string => show('day', ms);
export const yearText = (ms: number): string => show('year', ms);
export const fullTime = (ms: number): string => show('full', ms);

const DAY = 86_400_000;

/** The number of the day in the shown zone: midnight lies between two different ones. */
export const dayOf = (ms: number): number => Math.floor((ms + offsetAt(ms)) / DAY);

/** The beginning of the day that contains `ms`. */
export const midnightBefore = (ms: number): number => momentOf(dayOf(ms) * DAY);

/** Label of the crosshair: with the date if the span is longer than a day. */
export function cursorTime(ms: number, span: number): string {
  return span <= 26 * 3_600_000 ? clockTime(ms) : fullTime(ms);
}

/** A time in the format of a `datetime-local` input. */
export function zonedInput(ms: number): string {
  return new Date(ms + offsetAt(ms)).toISOString().slice(0, 19);
}

/** The moment that a `datetime-local` input shows; NaN if it is empty. */
export function fromInput(text: string): number {
  const shown = Date.parse(`${text}Z`);
  return Number.isNaN(shown) ? NaN : momentOf(shown);
}

/** Start and end; the day is shown once if both share it, and seconds where they matter. */
export function rangeText(from: number, to: number): string {
  const whole = from % 60_000 === 0 && to % 60_000 === 0;
  const time = to - from < 2 * 60_000 || (to - from <= 3_600_000 && !whole) ? clockTime : shortTime;
  const start = `${dayText(from)} ${time(from)}`;
  return `${start} – ${dayOf(from) === dayOf(to) ? time(to) : `${dayText(to)} ${time(to)}`}`;
}
