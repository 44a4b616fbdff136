/** Words and numbers of profiles. */
import type { ProfileKind } from './profileView';
import { digits, duration, format, nanoseconds } from '@/format/units';

export interface KindWords {
  label: string;
  title: string;
  /** What is added up. */
  amount: string;
  /** What is counted. */
  samples: string;
}

export const kindWords: Record<ProfileKind, KindWords> = {
  cpu: { label: 'On-CPU', title: 'Where CPU time went', amount: 'CPU time', samples: 'samples' },
  off_cpu: {
    label: 'Off-CPU',
    title: 'What was waited for, without a CPU',
    amount: 'waiting time',
    samples: 'waits',
  },
};

/** Nanoseconds; from two minutes on in whole seconds. */
export const amountText = (ns: number): string => (ns < 120e9 ? nanoseconds(ns) : duration(ns / 1e9));

export const shareText = (share: number): string => format(100 * share, 'percent');

/** The difference of two shares, in percentage points. */
export function pointsText(difference: number): string {
  const points = digits(Math.abs(100 * difference));
  if (points === '0') return '0';
  return `${difference > 0 ? '+' : '−'}${points}`;
}

const ends: Record<string, string> = {
  too_long: 'longer than the copied part of the stack',
  no_unwind_information: 'without unwind information',
  no_registers: 'without registers',
  gone: 'of processes that had exited',
  forbidden: 'not readable with the server’s rights',
};

export interface StackFacts {
  /** Of user stacks, 0 to 1; null if there were none. */
  complete: number | null;
  /** `12 without unwind information`, most first. */
  incomplete: string[];
}

export function stackFacts(stacks: Readonly<Record<string, number>>): StackFacts {
  const others = Object.entries(stacks)
    .filter(([end, count]) => end !== 'complete' && count > 0)
    .toSorted(([, a], [, b]) => b - a);
  const complete = stacks.complete ?? 0;
  const all = others.reduce((sum, [, count]) => sum + count, complete);
  return {
    complete: all === 0 ? null : complete / all,
    incomplete: others.map(([end, count]) => `${count.toLocaleString('en')} ${ends[end] ?? end}`),
  };
}

export const resolutionText = (seconds: number): string =>
  ({ 60: 'minutes', 3600: 'hours', 86_400: 'days' })[seconds] ?? duration(seconds);
