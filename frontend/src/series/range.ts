/** Time ranges: the last so many minutes, which end now and move on, or a start and an end. */

export interface Span {
  from: number;
  to: number;
}

/** Live: the last `last` milliseconds. */
export interface Live {
  last: number;
}

export type Range = Live | Span;

export const isLive = (range: Range): range is Live => 'last' in range;

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export const presets = [
  { value: MINUTE, label: '1 m' },
  { value: 5 * MINUTE, label: '5 m' },
  { value: 15 * MINUTE, label: '15 m' },
  { value: HOUR, label: '1 h' },
  { value: 6 * HOUR, label: '6 h' },
  { value: 24 * HOUR, label: '24 h' },
  { value: 7 * DAY, label: '7 d' },
  { value: 30 * DAY, label: '30 d' },
] as const;

/** The shortest range: below it there would be no samples. */
const MIN_LENGTH = 10 * SECOND;
const MAX_LENGTH = 366 * DAY;

const units: Record<string, number> = { s: SECOND, m: MINUTE, h: HOUR, d: DAY };

/** `90s`, `5m`, `24h`, `7d` in milliseconds; null for anything else. */
export function parseLength(text: string): number | null {
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  if (count === undefined || unit === undefined) return null;
  return Number(count) * (units[unit] ?? NaN);
}

/** The shortest spelling; 24 h rather than 1 d. */
export function lengthText(ms: number): string {
  if (ms > DAY && ms % DAY === 0) return `${(ms / DAY).toString()}d`;
  if (ms % HOUR === 0) return `${(ms / HOUR).toString()}h`;
  if (ms % MINUTE === 0) return `${(ms / MINUTE).toString()}m`;
  return `${Math.round(ms / SECOND).toString()}s`;
}

export function resolve(range: Range, now: number): Span {
  return isLive(range) ? { from: now - range.last, to: now } : range;
}

/** Whole seconds, within the limits, and not in the future. */
function clamp(from: number, to: number, now: number): Span {
  const length = Math.min(MAX_LENGTH, Math.max(MIN_LENGTH, to - from));
  const middle = (from + to) / 2;
  const end = Math.min(now, middle + length / 2);
  const whole = (ms: number): number => Math.round(ms / SECOND) * SECOND;
  const start = whole(end - length);
  return { from: start, to: Math.max(whole(end), start + MIN_LENGTH) };
}

/** Zooms by `factor` (below 1 is closer) around `at`. */
export function zoom(span: Span, factor: number, at: number, now: number): Span {
  return clamp(at - (at - span.from) * factor, at + (span.to - at) * factor, now);
}

export function select(a: number, b: number, now: number): Span {
  return clamp(Math.min(a, b), Math.max(a, b), now);
}

/** A range that ends this close to now, as a share of its length, is meant to be live. */
const NOW_SHARE = 0.05;
const NOW_MS = 5 * SECOND;

/** Moves by a fraction of the length; a range that reaches now is live. */
export function pan(span: Span, share: number, now: number): Range {
  const length = span.to - span.from;
  const by = length * share;
  const near = Math.max(NOW_MS, NOW_SHARE * length);
  if (by > 0 && span.to + by >= now - near) return { last: Math.round(length / SECOND) * SECOND };
  return clamp(span.from + by, span.to + by, now);
}

/** A live range stays live: it takes the next preset. */
export function zoomLive({ last }: Live, closer: boolean): Live {
  const lengths = presets.map(({ value }): number => value);
  const next = closer ? lengths.findLast((one) => one < last) : lengths.find((one) => one > last);
  return { last: next ?? last };
}

/** Query parameters as the router provides them. */
export type Query = Record<string, string | null | undefined | (string | null)[]>;

export const first = (value: Query[string]): string | null =>
  Array.isArray(value) ? (value[0] ?? null) : (value ?? null);

function moment(text: string | null): number | null {
  if (text === null || text === '') return null;
  const ms = /^\d+$/.test(text) ? Number(text) : Date.parse(text);
  return Number.isFinite(ms) ? ms : null;
}

/** The range in a URL: `range=5m`, or `from=…&to=…`; null if there is none. */
export function rangeIn(query: Query): Range | null {
  const [from, to] = [moment(first(query.from)), moment(first(query.to))];
  if (from !== null && to !== null && from < to) return { from, to };
  const last = parseLength(first(query.range) ?? '');
  return last !== null && last >= MIN_LENGTH && last <= MAX_LENGTH ? { last } : null;
}

const iso = (ms: number): string => new Date(ms).toISOString().replace('.000Z', 'Z');

/** The parameters of a range, with `undefined` for those to remove. */
export function rangeQuery(range: Range): Record<'range' | 'from' | 'to', string | undefined> {
  return isLive(range)
    ? { range: lengthText(range.last), from: undefined, to: undefined }
    : { range: undefined, from: iso(range.from), to: iso(range.to) };
}

const INTERVALS = ['1s', '5s', '10s', '30s', '1m', '5m', '15m', '1h', '6h', '1d'];

/** The finest resolution with at most `most` points. */
export function intervalFor(length: number, most: number): { name: string; ms: number } {
  const all = INTERVALS.map((name) => ({ name, ms: parseLength(name) ?? DAY }));
  return all.find(({ ms }) => length / ms <= most) ?? { name: '1d', ms: DAY };
}

/** The range widened to whole points, so that none at its edges is made of a part of its samples. */
export function aligned(span: Span, width: number): Span {
  return { from: Math.floor(span.from / width) * width, to: Math.ceil(span.to / width) * width - 1 };
}
