/** Numbers with units as people type them: `200 ms`, `1.5 GiB/s`, `2h`. */
import { namedUnit } from './fields';
import { format, type Unit } from './units';

const DECIMAL: Record<string, number> = { k: 1e3, K: 1e3, M: 1e6, G: 1e9, T: 1e12 };
const BYTES: Record<string, number> = {
  '': 1,
  k: 1024,
  M: 1024 ** 2,
  G: 1024 ** 3,
  T: 1024 ** 4,
  Ki: 1024,
  Mi: 1024 ** 2,
  Gi: 1024 ** 3,
  Ti: 1024 ** 4,
};
/** In seconds. */
const TIMES: Record<string, number> = {
  ns: 1e-9,
  us: 1e-6,
  µs: 1e-6,
  ms: 1e-3,
  s: 1,
  m: 60,
  min: 60,
  h: 3600,
  d: 86_400,
  w: 604_800,
};

/** How many seconds one of these is. */
const timeUnits: Partial<Record<Unit, number>> = {
  seconds: 1,
  ms: 1e-3,
  us: 1e-6,
  ns: 1e-9,
  'ms/s': 1e-3,
  'us/s': 1e-6,
};

/** The factor of what is written after a number, to the unit; null if it is no such unit. */
function factorOf(suffix: string, unit: Unit): number | null {
  const plain = suffix.replace(/\/s$/, '');
  const base = timeUnits[unit];
  if (base !== undefined) {
    const time = TIMES[plain];
    return plain === '' ? 1 : time === undefined ? null : time / base;
  }
  if (unit === 'bytes' || unit === 'bytes/s') {
    const size = plain.replace(/B(ytes)?$|bytes?$/i, '');
    return BYTES[size === 'K' ? 'k' : size] ?? null;
  }
  if (unit === 'ratio') return plain === '%' ? 0.01 : plain === '' ? 1 : null;
  if (plain === '' || plain === '%') return 1;
  const scale = DECIMAL[plain.charAt(0)];
  // `12 MHz` is in MHz already; `3 kpkt` is three thousand.
  const isScale = scale !== undefined && unit !== 'mhz' && unit !== 'mpki';
  return isScale ? scale : /^[a-zA-Z°/ ]+$/.test(plain) ? 1 : null;
}

/** A number in the server's unit `name`; null if it is none. Parts add up: `1 h 30 min`. */
export function parseAmount(text: string, name: string): number | null {
  const [unit, factor] = namedUnit(name);
  const parts = [
    ...text
      .trim()
      .replace(',', '.')
      .matchAll(/([+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*([^\d\s+-]*)\s*/giy),
  ];
  if (parts.length === 0 || parts.map(([all]) => all).join('') !== text.trim().replace(',', '.')) return null;
  let sum = 0;
  for (const [, number = '', suffix = ''] of parts) {
    const scale = factorOf(suffix, unit);
    if (scale === null) return null;
    sum += Number(number) * scale;
  }
  // Without the noise of binary fractions.
  return Number((sum / factor).toPrecision(12));
}

/** A number in the server's unit `name`, with a unit that fits. */
export function amountText(value: number | null, name: string): string {
  if (value === null) return '';
  const [unit, factor] = namedUnit(name);
  return format(value * factor, unit);
}
