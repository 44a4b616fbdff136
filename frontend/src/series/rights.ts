/** Rights that the server lacks: what is not measured without them, and the command that grants them. */
import type { Source } from '@/api/types';

/** Matches remedies that grant rights. */
const GRANTS = /setcap|cap_|perf_event_paranoid|privileged/i;

/** What each source measures only with extra rights. */
const MEASURES: Record<string, string> = {
  counters: 'performance counters',
  runqueue: 'run queue and off-CPU time',
  block_io: 'disk latency by request',
  tcp: 'TCP retransmits and latency',
  processes: 'waits, switches and counters per process',
};

export function needsRights(source: Pick<Source, 'remedy'> | undefined): boolean {
  return GRANTS.test(source?.remedy ?? '');
}

export interface MissingRights {
  /** What the command adds, in the order of the sources. */
  adds: string[];
  command: string;
}

export function missingRights(sources: readonly Source[]): MissingRights | null {
  const lacking = sources.filter(needsRights);
  if (lacking.length === 0) return null;
  const commands = new Set(lacking.map(({ remedy }) => remedy ?? ''));
  return {
    adds: lacking.map(({ name }) => MEASURES[name] ?? name),
    command: [...commands].join(' && '),
  };
}
