/**
 * Answers about columns, to take later ones from: of a range within another one, at the same interval, all points are
 * known, and only its average as a whole is not.
 */
import type { ColumnsQuery, Span } from './history';
import type { ColumnsOfType } from './types';

/** Enough for a few steps back; each is at most a megabyte. */
const MOST = 48;

/** An answer, and the machine that it is about. */
interface Answer {
  host: string | null;
  query: ColumnsQuery;
  lines: ReadonlyMap<string, ColumnsOfType>;
}

interface Split {
  /** The points of a type, if all that is asked for is known; and its range as one point, if that is. */
  known: ReadonlyMap<string, ColumnsOfType>;
  /** What is left to ask. */
  rest: ColumnsQuery;
}

const typeOf = (field: string): string => field.split('.', 1)[0] ?? '';
const ofType = (type: string, fields: readonly string[] = []): string[] =>
  fields.filter((field) => typeOf(field) === type);

/** All types of which a query asks for anything. */
export const typesIn = ({ fields, averages = [], whole = [] }: ColumnsQuery): Set<string> =>
  new Set([...fields, ...averages, ...whole].map(typeOf));

type Lists<T> = Record<string, T[]>;

function mapped<T>(lists: Lists<T>, change: (list: T[]) => T[]): Lists<T> {
  return Object.fromEntries(Object.entries(lists).map(([path, list]) => [path, change(list)]));
}

/** Without what has no value. */
function present<T>(lists: Lists<T | null>): Lists<T | null> {
  return Object.fromEntries(Object.entries(lists).filter(([, list]) => list.some((one) => one !== null)));
}

/** The points of a range, which is a part of theirs. */
function within(columns: ColumnsOfType, { from, to }: Span): ColumnsOfType {
  const { metric_type, interval, times, count, average, min, max, histograms, truncated } = columns;
  const first = times.findIndex((time) => time >= from);
  const last = times.findLastIndex((time) => time <= to);
  const cut = <T>(list: T[]): T[] => (first < 0 ? [] : list.slice(first, last + 1));
  return {
    metric_type,
    interval,
    truncated,
    times: cut(times),
    ...(count && { count: cut(count) }),
    average: present(mapped(average, cut)),
    ...(min && { min: present(mapped(min, cut)) }),
    ...(max && { max: present(mapped(max, cut)) }),
    histograms: present(mapped(histograms, cut)),
  };
}

/** Other columns of the same points as well; null if the points differ. */
function joined(a: ColumnsOfType, b: ColumnsOfType): ColumnsOfType | null {
  if (a.times.length !== b.times.length || a.times.some((time, i) => time !== b.times[i])) return null;
  const [min, max] = [a.min ?? b.min, a.max ?? b.max];
  return {
    ...a,
    average: { ...b.average, ...a.average },
    ...(min && { min: { ...b.min, ...a.min } }),
    ...(max && { max: { ...b.max, ...a.max } }),
    histograms: { ...b.histograms, ...a.histograms },
  };
}

export class KnownColumns {
  private answers: Answer[] = [];

  /** Keeps an answer, up to `settled`: after that time something may still be added. */
  remember(host: string | null, query: ColumnsQuery, lines: readonly ColumnsOfType[], settled: number): void {
    const to = Math.min(query.to, settled);
    const uncut = lines.filter(({ truncated }) => !truncated);
    const byType = new Map(uncut.map((line) => [line.metric_type, line]));
    this.answers = [{ host, query: { ...query, to }, lines: byType }, ...this.answers].slice(0, MOST);
  }

  /** What is known of a query's answer, from answers that have at least its range. */
  split(host: string | null, query: ColumnsQuery): Split {
    const answers = this.answers.filter((one) => one.host === host && contains(one.query, query));
    const known = new Map<string, ColumnsOfType>();
    const complete = new Set<string>();
    for (const type of typesIn(query)) {
      const points = pointsOf(type, query, answers);
      if (points === null) continue;
      const same = answers.find((one) => one.lines.has(type) && hasWhole(one.query, type, query));
      const whole = same?.lines.get(type)?.whole;
      known.set(type, { ...points, ...(whole && { whole }) });
      if (same !== undefined || ofType(type, query.whole).length === 0) complete.add(type);
    }
    const without = (types: { has: (type: string) => boolean }, fields: readonly string[] = []): string[] =>
      fields.filter((field) => !types.has(typeOf(field)));
    const rest = {
      ...query,
      fields: without(known, query.fields),
      averages: without(known, query.averages),
      whole: without(complete, query.whole),
    };
    return { known, rest };
  }
}

const isSame = (a: Span, b: Span): boolean => a.from === b.from && a.to === b.to;

/** Whether it has the points of another query. */
function contains(wider: ColumnsQuery, query: ColumnsQuery): boolean {
  if (wider.interval !== query.interval) return false;
  return query.interval === 'range' ? isSame(wider, query) : wider.from <= query.from && wider.to >= query.to;
}

/** The points of a type that a query asks for, from one answer or several; null if they are not all known. */
function pointsOf(type: string, query: ColumnsQuery, answers: readonly Answer[]): ColumnsOfType | null {
  const of = answers.filter(({ lines }) => lines.has(type));
  const withExtremes = ofType(type, query.fields).map((field) =>
    of.find((one) => one.query.fields.includes(field)),
  );
  const averages = ofType(type, query.averages).map((field) =>
    of.find((one) => [...one.query.fields, ...(one.query.averages ?? [])].includes(field)),
  );
  const sources = [...new Set([...withExtremes, ...averages])];
  const lines = sources.map((one) => one?.lines.get(type)).filter((line) => line !== undefined);
  if (lines.length === 0 || lines.length < sources.length) return null;
  const [first, ...others] = lines.map((line) => within(line, query));
  return others.reduce<ColumnsOfType | null>((all, one) => all && joined(all, one), first ?? null);
}

/** Whether it asks for the same range as one point, with at least as many fields of a type. */
function hasWhole(other: ColumnsQuery, type: string, query: ColumnsQuery): boolean {
  const { whole = [] } = other;
  const isAll = whole.includes(type) || ofType(type, query.whole).every((field) => whole.includes(field));
  return isSame(other, query) && isAll;
}
