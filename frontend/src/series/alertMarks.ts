/** Raised alerts on a chart of their rule's field. */
import type { AlertEpisode } from '@/api/types';
import { isAbout } from './alertFields';
import { thingOf } from './alerts';
import type { Episode } from './events';
import type { Span } from './range';

/** An alert and the field of its rule. */
export interface Raised extends AlertEpisode {
  field: string;
}

/** Those that belong to one of the paths (`cpu.usage_percent`), as events that last. */
export function marksFor(
  raised: readonly Raised[],
  paths: readonly string[],
  span: Span,
  now: number,
): Episode[] {
  const shown = paths.map((name) => {
    const [metric = '', ...path] = name.split('.');
    return { metric, path: path.join('.') };
  });
  return raised.flatMap((one) => {
    const from = Date.parse(one.raised_at);
    const to = one.cleared_at ? Date.parse(one.cleared_at) : Math.max(now, span.to);
    if (to < span.from || from > span.to) return [];
    if (!shown.some(({ metric, path }) => isAbout(one.field, one.labels, metric, path))) return [];
    return [
      {
        key: `alert ${one.id}`,
        kind: 'alert',
        tone: one.severity === 'critical' ? ('bad' as const) : ('warn' as const),
        title: `Alert ${one.rule}`,
        subject: [thingOf(one), one.cleared_at ? '' : 'still raised']
          .filter((part) => part !== '')
          .join(', '),
        from,
        to,
        count: 1,
        throttledMs: 0,
        pid: null,
        comm: null,
        cgroup: null,
      },
    ];
  });
}
