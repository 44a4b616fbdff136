/** How a change between two periods is put into words. */
import type { Change } from '@/api/types';
import { fieldName, metricName, storedUnit } from './fields';
import { changeText, format } from './units';

export interface ChangeTexts {
  id: string;
  metric: string;
  name: string;
  /** `rose`, `fell` or `changed shape`. */
  direction: string;
  mark: string;
  /** Of the median; empty if that says nothing. */
  percent: string;
  /** Before and now. */
  median: readonly [string, string];
  p99: readonly [string, string];
}

const marks: Record<string, string> = { up: '▲', down: '▼', mixed: '◆' };
const directions: Record<string, string> = { up: 'rose', down: 'fell', mixed: 'changed shape' };

function percent({ change_percent }: Change): string {
  if (typeof change_percent !== 'number' || Math.abs(change_percent) < 0.05) return '';
  return changeText(change_percent);
}

export function changeTexts(change: Change): ChangeTexts {
  const { metric_type, field, kind, current, comparison } = change;
  const { unit, scale } = storedUnit(metric_type, field, kind);
  const value = (number: number): string => format(number * scale, unit);
  return {
    id: `${metric_type}.${field}`,
    metric: metricName(metric_type),
    name: fieldName(metric_type, field),
    direction: directions[change.direction] ?? change.direction,
    mark: marks[change.direction] ?? '◆',
    percent: percent(change),
    median: [value(comparison.median), value(current.median)],
    p99: [value(comparison.p99), value(current.p99)],
  };
}

/** `vda: write latency rose from 120 µs to 1.5 ms (×12)`: by the median, or the 99th percentile if only that moved. */
export function changeSentence(change: Change): string {
  const { name, direction, percent: by, median, p99 } = changeTexts(change);
  const moved = (what: 'median' | 'p99'): string =>
    change.current[what] > change.comparison[what] ? 'rose' : 'fell';
  if (median[0] !== median[1]) {
    return `${name} ${moved('median')} from ${median[0]} to ${median[1]}${by === '' ? '' : ` (${by})`}`;
  }
  if (p99[0] !== p99[1]) return `${name}: p99 ${moved('p99')} from ${p99[0]} to ${p99[1]}`;
  return `${name} ${direction}`;
}

/** Why there are no changes: a period without history is not one in which nothing changed. */
export function noChanges(current: boolean, comparison: boolean): string {
  if (current && comparison) return 'Nothing changed between the two periods.';
  if (current) return 'There is no history of the comparison period, so there is nothing to compare with.';
  return comparison ? 'There is no history of the selected period.' : 'There is no history of either period.';
}
