/** Time ranges: a preset that ends now, or a start and an end. */

export const presets = [
  { value: '1h', label: '1 h', ms: 3_600_000 },
  { value: '6h', label: '6 h', ms: 6 * 3_600_000 },
  { value: '24h', label: '24 h', ms: 24 * 3_600_000 },
  { value: '7d', label: '7 d', ms: 7 * 86_400_000 },
  { value: '30d', label: '30 d', ms: 30 * 86_400_000 },
] as const;

export type Preset = (typeof presets)[number]['value'];

export interface Span {
  from: number;
  to: number;
}

export type Range = { preset: Preset } | Span;

export const isPreset = (value: unknown): value is Preset => presets.some((preset) => preset.value === value);

export function resolve(range: Range, now: number): Span {
  if (!('preset' in range)) return range;
  const ms = presets.find((preset) => preset.value === range.preset)?.ms ?? presets[0].ms;
  return { from: now - ms, to: now };
}

/** The shortest range: below it there would be no samples. */
const MIN_LENGTH = 10_000;
const MAX_LENGTH = 366 * 86_400_000;

function clamp(from: number, to: number, now: number): Span {
  const length = Math.min(MAX_LENGTH, Math.max(MIN_LENGTH, to - from));
  const middle = (from + to) / 2;
  const end = Math.min(now, middle + length / 2);
  return { from: Math.round(end - length), to: Math.round(end) };
}

/** Zooms by `factor` (below 1 is closer) around `at`. */
export function zoom(span: Span, factor: number, at: number, now: number): Span {
  return clamp(at - (at - span.from) * factor, at + (span.to - at) * factor, now);
}

/** Moves by a fraction of the length. */
export function pan(span: Span, share: number, now: number): Span {
  const by = (span.to - span.from) * share;
  return clamp(span.from + by, span.to + by, now);
}

export function select(a: number, b: number, now: number): Span {
  return clamp(Math.min(a, b), Math.max(a, b), now);
}
