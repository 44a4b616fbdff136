import type { SkipCause } from '@/api/types';

/** Ticks that are missing before the one at `time`. */
export interface Skip {
  time: number;
  count: number;
  cause: SkipCause;
}

/** How long missing ticks are told. */
const SHOWN_MS = 60_000;

const WHY: Record<SkipCause, string> = {
  cpu_quota: 'not taken: the server was throttled by its CPU quota',
  suspended: 'not taken: the machine was suspended',
  busy: 'not taken: the server got no CPU time',
  server: 'not sent in time: the server was too busy',
  client: 'skipped: this page or its connection was too slow',
};

/** A sentence for each cause of ticks that are missing in the minute before `now`. */
export function skipNotes(skips: readonly Skip[], now: number): string[] {
  const counts = new Map<SkipCause, number>();
  for (const { time, count, cause } of skips) {
    if (now - time <= SHOWN_MS) counts.set(cause, (counts.get(cause) ?? 0) + count);
  }
  return [...counts].map(
    ([cause, count]) => `${count === 1 ? '1 tick was' : `${count} ticks were`} ${WHY[cause]}.`,
  );
}
