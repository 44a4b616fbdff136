/** Converts the profile page's view to and from its URL, so that a shared link shows the same view. */
import { againsts, type Comparison } from './historyView';
import { first, lengthText, parseLength, type Query } from './range';

export const kinds = ['cpu', 'off_cpu'] as const;
export type ProfileKind = (typeof kinds)[number];

export const parts = ['both', 'graph', 'table'] as const;
export type ProfilePart = (typeof parts)[number];

/** What can be filtered by, as the server names it. */
export const filterNames = ['process', 'pid', 'thread', 'cgroup'] as const;
export type FilterName = (typeof filterNames)[number];
export type Filters = Partial<Record<FilterName, string>>;

export interface ProfileView {
  kind: ProfileKind;
  filters: Filters;
  /** What it is compared with; null if it is not. */
  comparison: Comparison | null;
  /** The frame that has the whole width, as its hash names it; null is all. */
  zoomed: string | null;
  /** The function whose callers and callees are listed, as its hash names it. */
  selected: string | null;
  search: string;
  part: ProfilePart;
  /** Whether callees are above their callers. */
  isFlame: boolean;
  /** A column of the table, and whether its order is reversed; null is the usual one. */
  sort: string | null;
  isReversed: boolean;
}

const MAX_SEARCH = 500;

function oneOf<T extends string>(options: readonly T[], value: string | null): T | null {
  return options.find((option) => option === value) ?? null;
}

function comparisonIn(text: string | null): ProfileView['comparison'] {
  const [, host] = /^host:(.+)$/.exec(text ?? '') ?? [];
  if (host !== undefined) return { host };
  const earlier = parseLength(text ?? '');
  return earlier === null ? oneOf(againsts, text) : { earlier };
}

function filtersIn(query: Query): Filters {
  const filters: Filters = {};
  for (const name of filterNames) {
    const value = first(query[name]);
    if (value !== null && value !== '' && (name !== 'pid' || /^\d{1,10}$/.test(value))) filters[name] = value;
  }
  return filters;
}

const keyIn = (text: string | null): string | null =>
  text !== null && /^[0-9a-z]+$/.test(text) ? text : null;

export function parseProfileView(query: Query): ProfileView {
  return {
    kind: oneOf(kinds, first(query.kind)) ?? 'cpu',
    filters: filtersIn(query),
    comparison: comparisonIn(first(query.against)),
    zoomed: keyIn(first(query.frame)),
    selected: keyIn(first(query.function)),
    search: (first(query.q) ?? '').slice(0, MAX_SEARCH),
    part: oneOf(parts, first(query.part)) ?? 'both',
    isFlame: first(query.shape) === 'flame',
    sort: first(query.sort),
    isReversed: first(query.order) === 'reversed',
  };
}

/** Only non-default values, to keep URLs short. */
export function profileQuery(view: Partial<ProfileView>): Record<string, string> {
  const { kind, filters, comparison, zoomed, selected, search, part, isFlame, sort, isReversed } = view;
  const query: Record<string, string> = { ...filters };
  if (kind === 'off_cpu') query.kind = kind;
  if (typeof comparison === 'string') query.against = comparison;
  else if (comparison)
    query.against = 'host' in comparison ? `host:${comparison.host}` : lengthText(comparison.earlier);
  if (zoomed) query.frame = zoomed;
  if (selected) query.function = selected;
  if (search) query.q = search;
  if (part && part !== 'both') query.part = part;
  if (isFlame === true) query.shape = 'flame';
  if (sort) query.sort = sort;
  if (isReversed === true) query.order = 'reversed';
  return query;
}
