/** Which range an address explains. Apart from the sentences, so that opening a page does not load those. */
import { first, isLive, rangeIn, rangeQuery, type Query, type Span } from './range';

export const comparisons = [
  { value: 'before', label: 'Just before' },
  { value: 'yesterday', label: 'Yesterday' },
  { value: 'last_week', label: 'Last week' },
] as const;
export type CompareTo = (typeof comparisons)[number]['value'];

export interface ExplainQuery extends Span {
  compareTo: CompareTo;
}

/** The range that an address explains: `explain=before&explain_from=…&explain_to=…`; null if it explains none. */
export function explainedIn(query: Query): ExplainQuery | null {
  const known = comparisons.find(({ value }) => value === first(query.explain));
  const range = rangeIn({ from: query.explain_from, to: query.explain_to });
  return known === undefined || range === null || isLive(range) ? null : { ...range, compareTo: known.value };
}

type Parameters = Record<'explain' | 'explain_from' | 'explain_to', string | undefined>;

/** The parameters of the address, with `undefined` for those to remove. */
export function explainParameters(explained: ExplainQuery | null): Parameters {
  if (explained === null) return { explain: undefined, explain_from: undefined, explain_to: undefined };
  const { from, to } = rangeQuery({ from: explained.from, to: explained.to });
  return { explain: explained.compareTo, explain_from: from, explain_to: to };
}
