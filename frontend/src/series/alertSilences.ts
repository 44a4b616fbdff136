/** Silences and maintenance windows, as people write and read them. */
import type { AlertSilence, AlertWindow } from '@/api/types';

type Labels = Record<string, string>;

/** `device=sdb, mountpoint=/var*` as labels. */
export function labelsIn(text: string): Labels {
  const pairs = text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part): [string, string] => {
      const at = part.indexOf('=');
      if (at <= 0) throw new Error(`“${part}” is no label; write it as device=sdb.`);
      return [part.slice(0, at).trim(), part.slice(at + 1).trim()];
    });
  return Object.fromEntries(pairs);
}

export const labelsText = (labels: Labels): string =>
  Object.entries(labels)
    .map(([label, pattern]) => `${label}=${pattern}`)
    .join(', ');

/** Which alerts: `disk-* · device=sdb`. */
export function whichText({ rule, labels }: Partial<Pick<AlertSilence, 'rule' | 'labels'>>): string {
  return [rule ?? 'All rules', labelsText(labels ?? {})].filter((part) => part !== '').join(' · ');
}

export const days = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
export type Day = (typeof days)[number];
export const dayName = (day: string): string => day.charAt(0).toUpperCase() + day.slice(1);

/** `Sun 02:00 – 04:00 Europe/Berlin`. */
export function windowText({
  days: on,
  start,
  end,
  zone,
}: Pick<AlertWindow, 'days' | 'start' | 'end' | 'zone'>): string {
  const which = days.every((day) => on.includes(day))
    ? 'Daily'
    : days
        .filter((day) => on.includes(day))
        .map(dayName)
        .join(', ');
  return `${which} ${start} – ${end} ${zone}`;
}
