/** Converts the history page's view to and from its URL, so that a shared link shows the same view. */
import { primaryFields } from '@/format/fields';
import { first, lengthText, parseLength, type Query, type Span } from './range';

export type Mode = 'explore' | 'compare' | 'changes';

export const againsts = ['before', 'yesterday', 'last_week'] as const;
export type Against = (typeof againsts)[number];

export interface HistoryView {
  mode: Mode;
  metric: string;
  fields: string[];
  /** Compared with: the time just before, the same time a day or a week earlier, or any time earlier (milliseconds). */
  comparison: Against | { earlier: number };
}

function oneOf<T extends string>(options: readonly T[], value: string | null): T | null {
  return options.find((option) => option === value) ?? null;
}

export const fieldsOf = (metric: string): string[] => [...(primaryFields[metric] ?? [])];

export function parseView(query: Query): HistoryView {
  const metric = first(query.metric) ?? 'cpu';
  const fields =
    first(query.fields)
      ?.split(',')
      .filter((field) => field !== '') ?? fieldsOf(metric);
  const earlier = parseLength(first(query.earlier) ?? '');
  return {
    mode: oneOf(['explore', 'compare', 'changes'], first(query.mode)) ?? 'explore',
    metric,
    fields,
    comparison: earlier !== null ? { earlier } : (oneOf(againsts, first(query.against)) ?? 'before'),
  };
}

/** Only non-default values, to keep URLs short. */
export function viewQuery(view: HistoryView): Record<string, string> {
  const query: Record<string, string> = {};
  if (view.mode !== 'explore') query.mode = view.mode;
  query.metric = view.metric;
  if (view.fields.join() !== fieldsOf(view.metric).join()) query.fields = view.fields.join(',');
  if (view.mode === 'explore') return query;
  if (typeof view.comparison === 'string') query.against = view.comparison;
  else query.earlier = lengthText(view.comparison.earlier);
  return query;
}

const DAY = 86_400_000;

/** How much earlier the range is that `span` is compared with. */
export function distanceOf(comparison: HistoryView['comparison'], span: Span): number {
  if (typeof comparison !== 'string') return comparison.earlier;
  if (comparison === 'before') return span.to - span.from;
  return comparison === 'yesterday' ? DAY : 7 * DAY;
}

/** The range that `span` is compared with. */
export function comparedWith(comparison: HistoryView['comparison'], span: Span): Span {
  const by = distanceOf(comparison, span);
  return { from: span.from - by, to: span.to - by };
}
