/** Rules as they are made: drafts, levels, and what a preview of them says. */
import type { AlertPreview, AlertRule } from '@/api/types';
import { duration, type Unit } from '@/format/units';
import { fieldName } from '@/format/fields';
import { knownField, type RuleField } from './alertFields';

export type Severity = 'warning' | 'critical';
export type Direction = 'above' | 'below';
export type RuleFunction = NonNullable<AlertRule['function']>;

interface FunctionChoice {
  value: RuleFunction;
  label: string;
  /** Whether it covers a window. */
  windowed: boolean;
  /** What else it needs. */
  parameter?: 'quantile' | 'level' | 'line';
}

export const functions: readonly FunctionChoice[] = [
  { value: 'last', label: 'Newest value', windowed: false },
  { value: 'average', label: 'Average', windowed: true },
  { value: 'min', label: 'Minimum', windowed: true },
  { value: 'max', label: 'Maximum', windowed: true },
  { value: 'rate', label: 'Growth per second', windowed: true },
  { value: 'share_above', label: 'Share of time above a level', windowed: true, parameter: 'level' },
  { value: 'quantile', label: 'Quantile', windowed: true, parameter: 'quantile' },
  { value: 'forecast', label: 'Time until a value is reached', windowed: true, parameter: 'line' },
];

export const functionOf = (rule: AlertRule): FunctionChoice | undefined =>
  functions.find(({ value }) => value === (rule.function ?? 'last'));

/** The rule without some of its keys. */
export function without(rule: AlertRule, ...keys: readonly (keyof AlertRule)[]): AlertRule {
  const left = Object.entries(rule).filter(([key]) => !keys.includes(key as keyof AlertRule));
  return Object.fromEntries(left) as AlertRule;
}

/** Words of a name: what it is about, without its unit. */
const slug = (text: string): string =>
  text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 56)
    .replace(/-+$/, '');

/** A name that no rule has yet. */
export function freeName(wanted: string, taken: ReadonlySet<string>): string {
  const base = wanted === '' ? 'rule' : wanted;
  if (!taken.has(base)) return base;
  let n = 2;
  while (taken.has(`${base}-${n.toString()}`)) n += 1;
  return `${base}-${n.toString()}`;
}

/** A rule on a field with what its kind calls for; its levels come from a first look at its past. */
export function draftOf({ field, labels }: RuleField, taken: ReadonlySet<string>): AlertRule {
  const known = knownField(field);
  const [metric = '', ...path] = field.split('.');
  const name = fieldName(metric, path.join('.'));
  const things = known?.labels.filter((label) => label !== 'fstype') ?? [];
  const who = things.map((label) => `{${label}}`).join(' ');
  const isDistribution = known?.kind === 'histogram';
  return {
    name: freeName(slug(`${metric} ${name} ${Object.values(labels).join(' ')}`), taken),
    summary: `${who === '' ? '' : `${who}: `}${name} is {value}`,
    field,
    ...(Object.keys(labels).length > 0 ? { labels } : {}),
    function: isDistribution ? 'quantile' : known?.kind === 'counter' ? 'rate' : 'average',
    ...(isDistribution ? { quantile: 0.99 } : {}),
    window: '5m',
    for: '2m',
    keep_firing_for: '5m',
  };
}

/** The function, with the keys that it uses and without those of others. */
export function withFunction(rule: AlertRule, value: RuleFunction): AlertRule {
  const { quantile, level, line, window, ...rest } = rule;
  const choice = functions.find((one) => one.value === value);
  return {
    ...rest,
    function: value,
    ...(choice?.windowed === true ? { window: window ?? '5m' } : {}),
    ...(choice?.parameter === 'quantile' ? { quantile: quantile ?? 0.99 } : {}),
    ...(choice?.parameter === 'level' ? { level: level ?? 0 } : {}),
    ...(choice?.parameter === 'line' ? { line: line ?? 100 } : {}),
  };
}

/** Which way its levels are crossed. */
export function directionOf({ warning, critical }: AlertRule): Direction {
  const level = warning ?? critical;
  return typeof level?.below === 'number' ? 'below' : 'above';
}

const numberOf = (value: unknown): number | null => (typeof value === 'number' ? value : null);

export function raiseOf(rule: AlertRule, severity: Severity): number | null {
  return numberOf(rule[severity]?.[directionOf(rule)]);
}
export function clearOf(rule: AlertRule, severity: Severity): number | null {
  return numberOf(rule[severity]?.clear);
}

/** Sets where a severity is raised; the level to clear keeps its distance to it. `null` removes the severity. */
export function withRaise(rule: AlertRule, severity: Severity, value: number | null): AlertRule {
  const { [severity]: level, ...rest } = rule;
  if (value === null) return rest;
  const before = raiseOf(rule, severity);
  const clear = clearOf(rule, severity);
  const moved = clear === null ? null : before === null || before === 0 ? value : (clear / before) * value;
  return {
    ...rest,
    [severity]: {
      ...level,
      [directionOf(rule)]: value,
      ...(moved === null ? {} : { clear: rounded(moved) }),
    },
  };
}

export function withClear(rule: AlertRule, severity: Severity, value: number | null): AlertRule {
  const level = rule[severity];
  if (!level) return rule;
  const direction = directionOf(rule);
  const raise = level[direction];
  const bare = raise === undefined ? {} : { [direction]: raise };
  return { ...rule, [severity]: value === null ? bare : { ...bare, clear: value } };
}

export function withDirection(rule: AlertRule, direction: Direction): AlertRule {
  const turned = (severity: Severity): Partial<AlertRule> => {
    const raise = raiseOf(rule, severity);
    return raise === null ? {} : { [severity]: { [direction]: raise } };
  };
  return { ...rule, ...turned('warning'), ...turned('critical') };
}

/** Two or three digits, as people choose levels. */
export function rounded(value: number, digits = 3): number {
  return value === 0 || !Number.isFinite(value) ? 0 : Number(value.toPrecision(digits));
}

/** A level above which values were seldom: what a new rule begins with. */
export function suggested(values: readonly (number | null)[], unit: string): number {
  const known = values.filter((value) => value !== null).sort((a, b) => a - b);
  const high = known[Math.ceil((known.length - 1) * 0.995)] ?? 0;
  const level = high > 0 ? rounded(high * 1.2, 2) : unit === '%' ? 80 : 1;
  return unit === '%' && level > 95 ? 95 : level;
}

/** What a preview says, in a sentence: `3 times in the last 30 days, longest 12 min`. */
export function verdictOf(preview: AlertPreview, rangeText: string): string {
  if (preview.reason) return `${preview.reason}.`;
  if (!preview.has_data) return `Nothing is stored of the last ${rangeText}.`;
  if (preview.raised === 0 && preview.courses.length === 0) {
    return `Too little is stored of the last ${rangeText} to try it.`;
  }
  if (preview.raised === 0) return `It would not have fired in the last ${rangeText}.`;
  const times = preview.raised === 1 ? 'once' : `${preview.raised.toString()} times`;
  const end = Date.parse(preview.end_time);
  const lengths = preview.episodes.map(
    ({ raised_at, cleared_at }) => (cleared_at ? Date.parse(cleared_at) : end) - Date.parse(raised_at),
  );
  const longest = duration(Math.max(...lengths) / 1000);
  return `It would have fired ${times} in the last ${rangeText}, ${preview.raised === 1 ? 'for' : 'longest'} ${longest}.`;
}

/** Where the axis of a preview ends: above all values and levels, with room to drag a level higher. */
export function peakOf(
  preview: AlertPreview | null,
  levels: readonly (number | null)[],
  factor: number,
): number {
  let peak = 0;
  for (const { values } of preview?.courses ?? []) {
    for (const value of values) if (value !== null) peak = Math.max(peak, value * factor);
  }
  for (const level of levels) if (level !== null) peak = Math.max(peak, level * factor * 1.1);
  return peak;
}

/** Percentages end at a hundred, all else where its values do. */
export const fixedMax = (unit: Unit, peak: number): number | null =>
  unit === 'percent' && peak > 60 && peak <= 115 ? 100 : null;
