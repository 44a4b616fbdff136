/** Converts the history page's view to and from its URL, so that a shared link shows the same view. */
import { primaryFields } from '@/format/fields';
import { isPreset, type Range } from './range';

export type Mode = 'explore' | 'compare' | 'changes';

export const periods = ['hour', 'day', 'week'] as const;
export const againsts = ['yesterday', 'last_week'] as const;
export type Period = (typeof periods)[number];
export type Against = (typeof againsts)[number];

export interface HistoryView {
  mode: Mode;
  metric: string;
  fields: string[];
  range: Range;
  /** Compared with: the same period earlier, or a period of the same length from any start. */
  comparison: { period: Period; against: Against } | { start: number };
}

/** Query parameters as the router provides them. */
export type Query = Record<string, string | null | undefined | (string | null)[]>;

const first = (value: Query[string]): string | null =>
  Array.isArray(value) ? (value[0] ?? null) : (value ?? null);

function moment(text: string | null): number | null {
  if (text === null || text === '') return null;
  const ms = /^\d+$/.test(text) ? Number(text) : Date.parse(text);
  return Number.isFinite(ms) ? ms : null;
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
  const [from, to] = [moment(first(query.from)), moment(first(query.to))];
  const preset = first(query.range);
  const start = moment(first(query.with));
  return {
    mode: oneOf(['explore', 'compare', 'changes'], first(query.mode)) ?? 'explore',
    metric,
    fields,
    range:
      from !== null && to !== null && from < to ? { from, to } : { preset: isPreset(preset) ? preset : '1h' },
    comparison:
      start !== null
        ? { start }
        : {
            period: oneOf(periods, first(query.period)) ?? 'hour',
            against: oneOf(againsts, first(query.against)) ?? 'yesterday',
          },
  };
}

const iso = (ms: number): string => new Date(ms).toISOString().replace('.000Z', 'Z');

/** Only non-default values, to keep URLs short. */
export function viewQuery(view: HistoryView): Record<string, string> {
  const query: Record<string, string> = {};
  if (view.mode !== 'explore') query.mode = view.mode;
  query.metric = view.metric;
  if (view.fields.join() !== fieldsOf(view.metric).join()) query.fields = view.fields.join(',');
  if ('preset' in view.range) query.range = view.range.preset;
  else Object.assign(query, { from: iso(view.range.from), to: iso(view.range.to) });
  if (view.mode === 'explore') return query;
  if ('start' in view.comparison) query.with = iso(view.comparison.start);
  else Object.assign(query, { period: view.comparison.period, against: view.comparison.against });
  return query;
}

const HOUR = 3_600_000;
const periodMs: Record<Period, number> = { hour: HOUR, day: 24 * HOUR, week: 7 * 24 * HOUR };
const againstMs: Record<Against, number> = { yesterday: 24 * HOUR, last_week: 7 * 24 * HOUR };

/** The two ranges of a comparison: current, then the one it is compared with. */
export function comparedRanges(
  view: HistoryView,
  now: number,
  chosen: { from: number; to: number },
): [{ from: number; to: number }, { from: number; to: number }] {
  if ('start' in view.comparison) {
    const { start } = view.comparison;
    return [chosen, { from: start, to: start + (chosen.to - chosen.from) }];
  }
  const { period, against } = view.comparison;
  const current = { from: now - periodMs[period], to: now };
  const back = againstMs[against];
  return [current, { from: current.from - back, to: current.to - back }];
}
