/** A chart of one field on many hosts. */
import type { SeriesOfHosts } from '@/api/types';
import { accentAt } from './palette';
import type { SeriesData } from './timeline';

/** After as many hosts the colours repeat, dashed. */
const COLOURS = 6;

/** What hosts are called here: by name, with the ID where several have the same. */
export function namesOf(hosts: SeriesOfHosts['hosts']): string[] {
  const names = hosts.map(({ name }) => name);
  return hosts.map(({ id, name }) =>
    names.indexOf(name) === names.lastIndexOf(name) ? name : `${name} (${id.slice(0, 8)})`,
  );
}

/** The lines of a chart: the band of the rest first, so that it is behind the others. */
export function linesOf(answer: SeriesOfHosts, scale: number): SeriesData[] {
  const times = Float64Array.from(answer.times, (time) => Date.parse(time));
  const numbers = (values: readonly (number | null)[]) =>
    Float64Array.from(values, (value) => (value ?? NaN) * scale);
  const names = namesOf(answer.hosts);
  const lines = answer.hosts.map(({ values }, i): SeriesData => ({
    name: names[i] ?? '',
    colour: accentAt(i % COLOURS),
    dashed: i >= COLOURS,
    times,
    values: numbers(values),
  }));
  const { hosts, min, average, max } = answer.rest;
  if (hosts === 0) return lines;
  const rest: SeriesData = {
    name: hosts === 1 ? 'the other host' : `${hosts.toString()} others: average, least to greatest`,
    colour: 'slate',
    times,
    values: numbers(average),
    low: numbers(min),
    high: numbers(max),
  };
  return [rest, ...lines];
}
