/** Whether the machine is as it was over the last day, in one sentence. Pure. */
import type { Explanation } from '@/api/types';
import { plain, titleOf } from './who/group';
import type { Plotted } from './stretch';

interface Sign {
  type: Plotted;
  path: string;
  /** As the subject of a sentence, and whether that is a plural. */
  name: string;
  plural?: boolean;
  /** The least difference that anyone would act on. */
  least: number;
  /** What a program uses more of if it is to blame. */
  causes: readonly string[];
}

/** What is looked at. Waits tell of trouble where use does not: a disk can be busy and quick. */
export const signs: readonly Sign[] = [
  { type: 'cpu', path: 'usage_percent', name: 'CPU use', least: 10, causes: ['cpu_percent'] },
  { type: 'memory', path: 'usage_percent', name: 'Memory use', least: 5, causes: ['rss_bytes'] },
  {
    type: 'scheduler',
    path: 'runqueue_wait.p99_us',
    name: 'CPU waits',
    plural: true,
    least: 2000,
    causes: ['cpu_percent'],
  },
  {
    type: 'block_io',
    path: 'total.p99_us',
    name: 'Disk waits',
    plural: true,
    least: 5000,
    causes: ['write_bytes_per_sec', 'read_bytes_per_sec'],
  },
];

/** Points of five minutes: less than an hour says little about what is usual. */
const LEAST_POINTS = 12;
/** Usual is what was not exceeded in this part of the points. */
const USUAL_PART = 0.9;
/** Also of large values, a little more is no news. */
const LEAST_GROWTH = 0.25;

export interface Point {
  time: number;
  value: number;
}

export interface Judged {
  sign: Sign;
  /** How many times the limit of the usual it is; above 1 it is unusual. */
  excess: number;
  /** Since when it has been; null if only since the last point. */
  since: number | null;
}

/** Compares a value with the last day; null if too little is known of that. */
export function judge(sign: Sign, day: readonly Point[], now: number): Judged | null {
  if (day.length < LEAST_POINTS || !Number.isFinite(now)) return null;
  const sorted = day.map(({ value }) => value).sort((a, b) => a - b);
  const usual = sorted[Math.floor(USUAL_PART * (sorted.length - 1))] ?? 0;
  const limit = usual + Math.max(sign.least, LEAST_GROWTH * usual);
  const last = day.findLastIndex(({ value }) => value <= limit);
  return { sign, excess: now / limit, since: day[last + 1]?.time ?? null };
}

/** The unusual, the worst first. */
export function unusual(judged: readonly Judged[]): Judged[] {
  return judged.filter(({ excess }) => excess > 1).sort((a, b) => b.excess - a.excess);
}

/** The program that used most more of what causes it; null if none stands out. */
export function culprit({ sign }: Judged, { who }: Pick<Explanation, 'who'>): string | null {
  for (const { name, cgroup, group, differences } of who) {
    if (!differences.some(({ field, before, now }) => sign.causes.includes(field) && now > before)) continue;
    if (name !== '') return plain(name);
    if (typeof cgroup === 'string') return titleOf(cgroup, group).name;
  }
  return null;
}

const list = new Intl.ListFormat('en');

/** `CPU use and disk waits`. */
function names(judged: readonly Judged[]): string {
  const inside = (name: string): string =>
    /^[A-Z]{2}/.test(name) ? name : name[0]?.toLowerCase() + name.slice(1);
  return list.format(judged.map(({ sign }, i) => (i === 0 ? sign.name : inside(sign.name))));
}

/** `Disk waits are unusual since 14:02: fio`, without the name if it is not known. */
export function unusualText(worst: readonly Judged[], since: string, who: string | null): string {
  const are = worst.length > 1 || worst[0]?.sign.plural === true ? 'are' : 'is';
  return `${names(worst)} ${are} unusual since ${since}${who === null ? '' : `: ${who}`}`;
}

export function usualText(judged: readonly Judged[]): string {
  const are = judged.length > 1 || judged[0]?.sign.plural === true ? 'are' : 'is';
  return `Nothing unusual: ${names(judged)} ${are} as over the last day`;
}
