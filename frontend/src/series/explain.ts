/** What explains a range, in sentences: who used more of what, what changed, and which events there were. Pure. */
import type { Explanation, Suspect } from '@/api/types';
import { changeSentence, changeTexts } from '@/format/changes';
import { format, type Unit } from '@/format/units';
import { plain, titleOf } from './who/group';

interface Resource {
  unit: Unit;
  /** What follows the amount. */
  what: string;
  /** What a share is a part of. */
  whole: string;
}

const resources: Record<string, Resource> = {
  cpu_percent: { unit: 'percent', what: ' CPU', whole: 'all CPU time used' },
  rss_bytes: { unit: 'bytes', what: ' of memory', whole: 'all memory used' },
  read_bytes_per_sec: { unit: 'bytes/s', what: ' read', whole: 'all that was read' },
  write_bytes_per_sec: { unit: 'bytes/s', what: ' written', whole: 'all that was written' },
  major_faults_per_sec: { unit: 'count/s', what: ' major page faults', whole: 'all major page faults' },
};

/** Less waiting for a CPU is normal, milliseconds a second. */
const NOTABLE_WAIT = 50;

export interface SuspectLine {
  key: string;
  /** As the kernel has it; empty for processes that are known by their cgroup only. */
  id: string;
  cgroup: string | null;
  name: string;
  /** What it runs in, such as `postgres.service`; empty if that is not known. */
  place: string;
  /** `+8.0 MiB/s written, from 0`: the strongest difference first. */
  differences: string[];
  command: string;
  /** Whether its strongest difference is that it used less. */
  isLess: boolean;
  /** Of the strongest difference, 0 to 1. */
  share: number;
  /** `62 % of all that was written`. */
  shareText: string;
}

function difference({ field, before, now }: Suspect['differences'][number]): string {
  const { unit, what } = resources[field] ?? { unit: 'none', what: ` ${field}` };
  const sign = now < before ? '−' : '+';
  return `${sign}${format(Math.abs(now - before), unit)}${what}, from ${before === 0 ? '0' : format(before, unit)}`;
}

export function suspectLine(suspect: Suspect): SuspectLine {
  const { name, cgroup, group, differences, runqueue_wait_ms_per_sec: wait } = suspect;
  const place = typeof cgroup === 'string' && cgroup !== '/' ? titleOf(cgroup, group).name : '';
  const texts = differences.map(difference);
  if (typeof wait === 'number' && wait >= NOTABLE_WAIT)
    texts.push(`waited ${format(wait, 'ms/s')} for a CPU`);
  const strongest = differences[0];
  const share = Math.min(1, Math.max(0, strongest?.share ?? 0));
  const whole = resources[strongest?.field ?? '']?.whole ?? 'all';
  return {
    key: `${name} ${cgroup ?? ''}`,
    id: name,
    cgroup: cgroup ?? null,
    name: name === '' ? 'Other processes' : plain(name),
    place,
    differences: texts,
    command: plain(suspect.command ?? ''),
    isLess: strongest !== undefined && strongest.now < strongest.before,
    share,
    shareText: `${Math.round(100 * share).toString()} % of ${whole}`,
  };
}

const subjects: Record<string, string> = {
  cpu: 'CPU',
  memory: 'Memory',
  storage: 'Storage',
  network: 'Network',
  limits: 'Limits',
  counters: 'Hardware counters',
};

export interface SubjectLines {
  subject: string;
  /** The strongest first; with the name of the metric where it says more than the subject. */
  lines: { id: string; text: string; metric: string }[];
}

export function subjectLines({ subject, changes }: Explanation['changes'][number]): SubjectLines {
  const title = subjects[subject] ?? subject;
  const lines = changes.map((change) => {
    const { id, metric } = changeTexts(change);
    return { id, text: changeSentence(change), metric: metric === title ? '' : metric };
  });
  return { subject: title, lines };
}
