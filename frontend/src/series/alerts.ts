/** What alerts and their rules say, for people and as links. */
import type { Alert, AlertEpisode, AlertRule, ListedAlertRule } from '@/api/types';
import { namedUnit, primaryFields } from '@/format/fields';
import { format } from '@/format/units';
import { boardQuery } from './board';
import { rangeQuery } from './range';

/** Which thing an alert is about; empty for the machine as a whole. */
export const thingOf = ({ labels }: Pick<Alert, 'labels'>): string => Object.values(labels).join(' · ');

/** The host of a fleet that an alert is about, and which thing there. */
export const placeOf = (about: Pick<Alert, 'labels' | 'host_name'>, isFleet: boolean): string =>
  [isFleet ? about.host_name : '', thingOf(about)].filter((text) => text !== '').join(' · ');

export function valueText(value: number, unit: string): string {
  const [shown, factor] = namedUnit(unit);
  return format(value * factor, shown);
}

const LEAST_AROUND_MS = 15 * 60_000;

/** The time of an alert with some before it and, once it is cleared, after it. */
function rangeAround(from: number, to: number | null, now: number) {
  const around = Math.max(LEAST_AROUND_MS, ((to ?? now) - from) / 4);
  const whole = (ms: number): number => Math.floor(ms / 1000) * 1000;
  return rangeQuery({ from: whole(from - around), to: whole(Math.min(now, (to ?? now) + around)) });
}

/** The rule's field in history; if it is of one thing of many, what its metric type is mostly about. */
function boardOf({ labels }: Pick<Alert, 'labels'>, field: string) {
  const [metric = '', ...path] = field.split('.');
  const fields = thingOf({ labels }) === '' ? [path.join('.')] : primaryFields[metric];
  return fields === undefined ? {} : boardQuery([{ metric, fields }]);
}

/** The pages that show what happened then: of a fleet, on that host. `field` is the rule's, if it still exists. */
export function linksOf(
  about: Pick<Alert, 'labels' | 'host'>,
  field: string | undefined,
  time: { from: string; to: string | null | undefined },
  now: number,
  isFleet: boolean,
) {
  const range = rangeAround(Date.parse(time.from), time.to ? Date.parse(time.to) : null, now);
  const host = isFleet ? { host: about.host } : {};
  // Nobody records what hubs hear.
  const hasPast = field !== undefined && !field.startsWith('presence.');
  const board = hasPast ? boardOf(about, field) : {};
  return {
    history: { path: '/history', query: { ...host, ...board, ...range } },
    dashboard: { path: '/', query: { ...host, ...range } },
  };
}

/** Seconds that it was raised. */
export function lengthOf({ raised_at, cleared_at }: AlertEpisode, now: number): number {
  return ((cleared_at ? Date.parse(cleared_at) : now) - Date.parse(raised_at)) / 1000;
}

/** Raised after `from`, or not yet cleared then. */
export function since(episodes: readonly AlertEpisode[], from: number): AlertEpisode[] {
  return episodes.filter(({ cleared_at }) => !cleared_at || Date.parse(cleared_at) >= from);
}

/** What the server adds to a rule and does not take back. */
const added: Record<Exclude<keyof ListedAlertRule, keyof AlertRule>, true> = {
  acknowledged: true,
  is_cut: true,
  origin: true,
  place: true,
  problems: true,
  raised: true,
  reason: true,
  replaces_stock: true,
  state: true,
  things: true,
  unit: true,
  updated_at: true,
  updated_by: true,
};

/** The rule itself, switched on or off. */
export function switched(listed: ListedAlertRule, off: boolean): AlertRule {
  const rule = Object.fromEntries(Object.entries(listed).filter(([key]) => !Object.hasOwn(added, key)));
  return { ...(rule as AlertRule), off };
}

/** How many rules watch, and why the others do not. */
export function watched(
  rules: readonly ListedAlertRule[],
  isFleet: boolean,
): { count: number; text: string } {
  const countOf = (is: (rule: ListedAlertRule) => boolean): number => rules.filter(is).length;
  const off = countOf(({ off }) => off === true);
  const blind = countOf((rule) => rule.state === 'no_data' || rule.problems.length > 0);
  const others = countOf(({ state }) => state === 'not_applicable');
  const watching = rules.length - off - blind - others;
  const text = [
    `${watching.toString()} ${watching === 1 ? 'rule watches' : 'rules watch'} ${isFleet ? 'the fleet' : 'this machine'}`,
    ...(blind > 0 ? [`${blind.toString()} without data`] : []),
    ...(others > 0 ? [`${others.toString()} not applicable here`] : []),
    ...(off > 0 ? [`${off.toString()} switched off`] : []),
  ].join(', ');
  return { count: watching, text };
}

/** A text as pieces, of which some are links. */
export function withLinks(text: string): { text: string; isLink: boolean }[] {
  return text
    .split(/(https?:\/\/[^\s<>"]*[^\s<>".,;:!?)])/)
    .map((piece, i) => ({ text: piece, isLink: i % 2 === 1 }))
    .filter((piece) => piece.text !== '');
}
