/** What is asked of many hosts at once, and their answers put together. */
import type { ChangesOfHosts } from '@/api/types';
import { fieldName, metricName } from '@/format/fields';
import { knownFields } from './alertFields';
import type { Entry } from './catalogue';
import type { CompareTo } from './explained';
import type { Span } from './range';

const DAY_MS = 86_400_000;

/** The range that another one is compared with: the same length just before, or the same time on another day. */
export function comparisonOf({ from, to }: Span, compareTo: CompareTo): Span {
  const back = { before: to - from, yesterday: DAY_MS, last_week: 7 * DAY_MS }[compareTo];
  return { from: from - back, to: to - back };
}

/** Every field that has values, whichever of the hosts has it. */
export function fieldsOfHosts(): Entry[] {
  const fields = [...knownFields()].filter(
    // Accounts of processes are not compared, nor is what has no values.
    ([, { metric, kind }]) => metric !== 'usage' && kind !== 'state' && kind !== 'events',
  );
  return fields.map(([field, { metric, unit, kind, help }]) => {
    const path = field.slice(metric.length + 1);
    const name = fieldName(metric, path);
    const isDistribution = kind === 'histogram';
    const text = `${metricName(metric)} ${name} ${path} ${help}`.toLowerCase();
    return { metric, path, name, unit: isDistribution ? 'distribution' : unit, help, isDistribution, text };
  });
}

type Fields = ChangesOfHosts['fields'];
type Functions = ChangesOfHosts['functions'];

export interface Merged {
  fields: Fields;
  functions: Functions;
  compared: number;
  withoutData: number;
  /** Whether any host has history of the range. */
  current: boolean;
  comparison: boolean;
}

export const nothingYet: Merged = {
  fields: [],
  functions: [],
  compared: 0,
  withoutData: 0,
  current: false,
  comparison: false,
};

/** What was found so far, together with what was found on further hosts. */
export function merged(before: Merged, more: ChangesOfHosts): Merged {
  const fields = new Map<string, Fields[number]>();
  for (const field of [...before.fields, ...more.fields]) {
    const key = `${field.metric_type}.${field.field}`;
    const known = fields.get(key);
    const hosts = [...(known?.hosts ?? []), ...field.hosts];
    hosts.sort((a, b) => b.change.score - a.change.score);
    fields.set(key, { ...field, hosts, score: (known?.score ?? 0) + field.score });
  }
  const functions = new Map<string, Functions[number]>();
  for (const one of [...before.functions, ...more.functions]) {
    const key = `${one.module} ${one.name}`;
    functions.set(key, { ...one, hosts: [...(functions.get(key)?.hosts ?? []), ...one.hosts] });
  }
  return {
    fields: [...fields.values()].sort((a, b) => b.score - a.score),
    functions: [...functions.values()].sort((a, b) => b.hosts.length - a.hosts.length),
    compared: before.compared + more.compared,
    withoutData: before.withoutData + more.without_data,
    current: before.current || more.current.has_data,
    comparison: before.comparison || more.comparison.has_data,
  };
}
