/** The time zone that times are shown in: the browser's, or one chosen by its IANA name. */
import { shallowRef } from 'vue';

/** Undefined is the browser's own. */
const chosen = shallowRef<string | undefined>(undefined);

export function isZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

export const browserZone = (): string => new Intl.DateTimeFormat().resolvedOptions().timeZone;

export function showZone(name: string | undefined): void {
  chosen.value = name;
}

/** What is shown now; reading it in a computed value or a template follows the choice. */
export const shownZone = (): string | undefined => chosen.value;

const HOUR = 3_600_000;
const calendars = new Map<string, Intl.DateTimeFormat>();
const offsets = new Map<string, number>();
const MAX_OFFSETS = 5000;

function calendar(zone: string): Intl.DateTimeFormat {
  let found = calendars.get(zone);
  if (found === undefined) {
    found = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
    calendars.set(zone, found);
  }
  return found;
}

function namedOffset(zone: string, ms: number): number {
  // Zones change their offset on quarters of an hour.
  const quarter = Math.floor(ms / (HOUR / 4)) * (HOUR / 4);
  const key = `${zone} ${quarter.toString()}`;
  let offset = offsets.get(key);
  if (offset === undefined) {
    const parts = calendar(zone).formatToParts(quarter);
    const part = (type: string): number => Number(parts.find((one) => one.type === type)?.value);
    const shown = Date.UTC(
      part('year'),
      part('month') - 1,
      part('day'),
      part('hour'),
      part('minute'),
      part('second'),
    );
    offset = shown - quarter;
    if (offsets.size >= MAX_OFFSETS) offsets.clear();
    offsets.set(key, offset);
  }
  return offset;
}

/** How far the shown zone's clocks are ahead of UTC at `ms`, milliseconds. */
export function offsetAt(ms: number): number {
  const zone = chosen.value;
  if (zone === undefined) return -new Date(ms).getTimezoneOffset() * 60_000;
  return zone === 'UTC' ? 0 : namedOffset(zone, ms);
}

/** The moment at which the shown zone's clocks read `shown` (milliseconds as if it were UTC). */
export function momentOf(shown: number): number {
  const near = shown - offsetAt(shown);
  return shown - offsetAt(near);
}

/** `UTC+05:30`. */
export function offsetText(ms: number): string {
  const minutes = Math.round(offsetAt(ms) / 60_000);
  if (minutes === 0) return 'UTC';
  const two = (value: number): string => Math.floor(value).toString().padStart(2, '0');
  const size = Math.abs(minutes);
  return `UTC${minutes < 0 ? '−' : '+'}${two(size / 60)}:${two(size % 60)}`;
}
