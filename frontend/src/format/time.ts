/** Times and dates in the user's time zone. */

// Not `hour12: false`: in some locales it means hours from 1 to 24, so that midnight reads 24:00.
const clock = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
});
const short = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const day = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric' });
const full = new Intl.DateTimeFormat(undefined, {
  year: 'numeric',
  month: 'short',
  day: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
});

export const clockTime = (ms: number): string => clock.format(ms);
export const fullTime = (ms: number): string => full.format(ms);

const HOUR = 3_600_000;

/** Label of an axis that spans `span` milliseconds. */
export function axisTime(ms: number, span: number): string {
  if (span <= 2 * 60_000) return clock.format(ms);
  if (span <= 26 * HOUR) return short.format(ms);
  if (span <= 8 * 24 * HOUR) return `${day.format(ms)} ${short.format(ms)}`;
  return day.format(ms);
}

/** Label of the crosshair: with the date if the span is longer than a day. */
export function cursorTime(ms: number, span: number): string {
  return span <= 26 * HOUR ? clock.format(ms) : full.format(ms);
}

const two = (value: number): string => value.toString().padStart(2, '0');

/** A time in the format of a `datetime-local` input. */
export function localInput(ms: number): string {
  const at = new Date(ms);
  const date = [at.getFullYear().toString(), two(at.getMonth() + 1), two(at.getDate())].join('-');
  return `${date}T${[at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(':')}`;
}

/** Start and end; the day is shown once if both share it. */
export function rangeText(from: number, to: number): string {
  const time = to - from < 2 * 60_000 ? clock : short;
  const start = `${day.format(from)} ${time.format(from)}`;
  const sameDay = day.format(from) === day.format(to);
  return `${start} – ${sameDay ? time.format(to) : `${day.format(to)} ${time.format(to)}`}`;
}
