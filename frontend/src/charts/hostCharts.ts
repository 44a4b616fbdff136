/** A chart of one field on many hosts. */
import type { SeriesOfHosts } from '@/api/types';
import { accentAt } from './palette';
import type { SeriesData } from './timeline';

/** After as many hosts the colours repeat, dashed. */
const COLOURS = 6;

/** The lines of a chart: the band of the rest first, so that it is behind the others. */
export function linesOf(answer: SeriesOfHosts, scale: number): SeriesData[] {
  const times = Float64Array.from(answer.times, (time) => Date.parse(time));
  const numbers = (values: readonly (number | null)[]) =>
    Float64Array.from(values, (value) => (value ?? NaN) * scale);
  const names = answer.hosts.map(({ name }) => name);
  const lines = answer.hosts.map(({ id, name, values }, i): SeriesData => {
    const isUnique = names.indexOf(name) === names.lastIndexOf(name);
    return {
      name: isUnique ? name : `${name} (${id.slice(0, 8)})`,
      colour: accentAt(i % COLOURS),
      dashed: i >= COLOURS,
      times,
      values: numbers(values),
    };
  });
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
