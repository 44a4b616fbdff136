/** Converts the history page's view to and from its URL, so that a shared link shows the same view. */
import { primaryFields } from '@/format/fields';
import { boardQuery, MAX_PANELS, parsePanel, type Panel } from './board';
import { first, lengthText, parseLength, type Query, type Span } from './range';

export type Mode = 'board' | 'compare' | 'changes';

export const againsts = ['before', 'yesterday', 'last_week'] as const;
export type Against = (typeof againsts)[number];

/**
 * What a range is compared with: the time just before, the same time a day or a week earlier, any time earlier (milliseconds),
 * or another machine of the fleet at the same time.
 */
export type Comparison = Against | { earlier: number } | { host: string };

/** A range, and of which machine if it is another than the page is about. */
export interface ComparedSpan extends Span {
  host?: string;
}

export interface HistoryView {
  mode: Mode;
  panels: readonly Panel[];
  /** The saved board that it was, if it was one. */
  board: string | null;
  comparison: Comparison;
}

function oneOf<T extends string>(options: readonly T[], value: string | null): T | null {
  return options.find((option) => option === value) ?? null;
}

function primaryPanel(metric: string): Panel[] {
  const fields = primaryFields[metric];
  return fields === undefined ? [] : [{ metric, fields }];
}

/** Shown where an address names none. */
const defaultPanels = ['cpu', 'memory', 'disk', 'network'].flatMap(primaryPanel);

function panelsIn(query: Query): readonly Panel[] {
  const given = query.p;
  if (given !== undefined) {
    const panels = [given].flat().map((text) => parsePanel(text ?? ''));
    return panels.filter((panel) => panel !== null).slice(0, MAX_PANELS);
  }
  // Addresses of one metric, as links from elsewhere may still have them.
  const metric = first(query.metric);
  if (metric === null) return defaultPanels;
  const panel = parsePanel(`${metric}:${first(query.fields) ?? ''}`);
  return panel === null ? primaryPanel(metric) : [panel];
}

export function parseView(query: Query): HistoryView {
  const earlier = parseLength(first(query.earlier) ?? '');
  const host = first(query.with);
  return {
    mode: oneOf(['board', 'compare', 'changes'], first(query.mode)) ?? 'board',
    panels: panelsIn(query),
    board: first(query.board),
    comparison: host
      ? { host }
      : earlier !== null
        ? { earlier }
        : (oneOf(againsts, first(query.against)) ?? 'before'),
  };
}

/** Only non-default values, to keep URLs short; but a board is always there, so that a link stays what it was. */
export function viewQuery(view: HistoryView): Record<string, string | string[]> {
  const query: Record<string, string | string[]> = boardQuery(view.panels, view.board);
  if (view.mode !== 'board') query.mode = view.mode;
  if (view.mode === 'board') return query;
  if (typeof view.comparison === 'string') query.against = view.comparison;
  else if ('host' in view.comparison) query.with = view.comparison.host;
  else query.earlier = lengthText(view.comparison.earlier);
  return query;
}

const DAY = 86_400_000;

/** How much earlier the range is that `span` is compared with. */
export function distanceOf(comparison: Comparison, span: Span): number {
  if (typeof comparison !== 'string') return 'host' in comparison ? 0 : comparison.earlier;
  if (comparison === 'before') return span.to - span.from;
  return comparison === 'yesterday' ? DAY : 7 * DAY;
}

/** The range that `span` is compared with. */
export function comparedWith(comparison: Comparison, span: Span): ComparedSpan {
  const by = distanceOf(comparison, span);
  const host = typeof comparison !== 'string' && 'host' in comparison ? { host: comparison.host } : {};
  return { from: span.from - by, to: span.to - by, ...host };
}
