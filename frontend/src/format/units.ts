/** Formats numbers with their units; an absent number is a dash. */

export const ABSENT = '–';

export type Unit =
  | 'percent'
  | 'ratio'
  | 'bytes'
  | 'bytes/s'
  | 'count'
  | 'count/s'
  | 'packets/s'
  | 'pages'
  | 'pages/s'
  | 'ops/s'
  | 'bits/s'
  | 'seconds'
  | 'ns'
  | 'us'
  | 'ms'
  | 'us/s'
  | 'ms/s'
  | 'mhz'
  | 'celsius'
  | 'cores'
  | 'ipc'
  | 'mpki'
  | 'none';

const BINARY = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
const DECIMAL = ['', 'k', 'M', 'G', 'T', 'P'];

/** Three significant digits, without an exponent, and at most three decimals. */
export function digits(value: number): string {
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1000) return value.toString();
  if (size >= 99.95) return value.toFixed(0);
  if (size >= 9.995) return value.toFixed(1);
  if (size >= 0.00995) return value.toFixed(2);
  return size < 0.0005 ? '0' : value.toFixed(3);
}

function scaled(value: number, step: number, names: readonly string[]): string {
  let power = 0;
  let rest = value;
  while (Math.abs(rest) >= step * 0.9995 && power < names.length - 1) {
    rest /= step;
    power += 1;
  }
  const name = names[power] ?? '';
  return name === '' ? digits(rest) : `${digits(rest)} ${name}`;
}

const bytes = (value: number): string => {
  const text = scaled(value, 1024, BINARY);
  // There are no fractions of a byte.
  return text.endsWith(' B') ? `${Math.round(value).toString()} B` : text;
};
const decimal = (value: number, unit: string): string => {
  const text = scaled(value, 1000, DECIMAL);
  if (unit === '') return text;
  return /[a-zA-Z]$/.test(text) ? `${text}${unit}` : `${text} ${unit}`;
};

/** A duration in nanoseconds, in the unit with the fewest digits. */
export function nanoseconds(value: number): string {
  if (Math.abs(value) < 1e3) return `${digits(value)} ns`;
  if (Math.abs(value) < 1e6) return `${digits(value / 1e3)} µs`;
  if (Math.abs(value) < 1e9) return `${digits(value / 1e6)} ms`;
  return `${digits(value / 1e9)} s`;
}

const formatters: Record<Unit, (value: number) => string> = {
  percent: (v) => `${digits(v)} %`,
  ratio: (v) => `${digits(v * 100)} %`,
  bytes,
  'bytes/s': (v) => `${bytes(v)}/s`,
  count: (v) => decimal(v, ''),
  'count/s': (v) => `${decimal(v, '')}/s`,
  'packets/s': (v) => decimal(v, 'pkt/s'),
  pages: (v) => decimal(v, 'pages'),
  'pages/s': (v) => decimal(v, 'pages/s'),
  'ops/s': (v) => decimal(v, 'IO/s'),
  'bits/s': (v) => decimal(v, 'bit/s'),
  seconds: duration,
  ns: nanoseconds,
  us: (v) => nanoseconds(v * 1e3),
  ms: (v) => nanoseconds(v * 1e6),
  'us/s': (v) => `${nanoseconds(v * 1e3)}/s`,
  'ms/s': (v) => `${nanoseconds(v * 1e6)}/s`,
  mhz: (v) => (Math.abs(v) >= 1000 ? `${digits(v / 1000)} GHz` : `${digits(v)} MHz`),
  celsius: (v) => `${digits(v)} °C`,
  cores: (v) => `${digits(v)} ${Math.abs(v) === 1 ? 'core' : 'cores'}`,
  ipc: (v) => `${digits(v)} IPC`,
  mpki: (v) => `${digits(v)} MPKI`,
  none: digits,
};

/** `value` with its unit, or a dash if absent. */
export function format(value: number | null | undefined, unit: Unit): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return ABSENT;
  return formatters[unit](value);
}

/** A mean that the kernel measures in whole milliseconds: zero means less than one, not nothing. */
export function wholeMilliseconds(value: number | null | undefined): string {
  return value === 0 ? '< 1 ms' : format(value, 'ms');
}

/** A signed change in percent; from 1000 % on as a factor, which is easier to read. */
export function changeText(percent: number): string {
  if (percent >= 1000) return `×${format(percent / 100 + 1, 'count')}`;
  const sign = percent > 0 ? '+' : percent < 0 ? '−' : '';
  return `${sign}${digits(Math.abs(percent))} %`;
}

/** A duration in seconds as its two largest parts: `45 s`, `3 min 20 s`, `2 d 4 h`. */
export function duration(seconds: number): string {
  const parts: [number, string][] = [
    [86_400, 'd'],
    [3600, 'h'],
    [60, 'min'],
    [1, 's'],
  ];
  let rest = Math.round(Math.max(0, seconds));
  const out: string[] = [];
  for (const [size, name] of parts) {
    const whole = Math.floor(rest / size);
    rest -= whole * size;
    if (whole > 0) out.push(`${whole.toString()} ${name}`);
    if (out.length === 2 || (out.length === 1 && whole === 0)) break;
  }
  return out.length > 0 ? out.join(' ') : '0 s';
}

/** Bytes scale by powers of 1024, everything else by powers of 10. */
export function isBinary(unit: Unit): boolean {
  return unit === 'bytes' || unit === 'bytes/s';
}
