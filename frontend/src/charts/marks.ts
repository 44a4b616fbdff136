/** Event marks on a chart, in pixels; overlapping ones are merged. */
import type { Episode, EventTone } from '@/series/events';
import { plot, timeToX, type Span } from './geometry';

export interface Mark {
  tone: EventTone;
  /** Pixels of the first and last moment. */
  left: number;
  right: number;
  episodes: Episode[];
}

/** The width of a marker. */
const MERGE_PX = 9;

export function marksOf(episodes: readonly Episode[], span: Span, width: number): Mark[] {
  const end = width - plot.right;
  if (end <= plot.left) return [];
  const x = (time: number): number => Math.min(end, Math.max(plot.left, timeToX(time, span, width)));
  const marks: Mark[] = [];
  for (const episode of episodes) {
    if (episode.to < span.from || episode.from > span.to) continue;
    const [left, right] = [x(episode.from), x(episode.to)];
    const near = marks.find((mark) => mark.tone === episode.tone && left - mark.right < MERGE_PX);
    if (near === undefined) {
      marks.push({ tone: episode.tone, left, right, episodes: [episode] });
    } else {
      near.right = Math.max(near.right, right);
      near.episodes.push(episode);
    }
  }
  return marks;
}

/** The mark at a position, if any; the most severe of those nearby. */
export function markAt(marks: readonly Mark[], x: number): Mark | null {
  const reach = MERGE_PX / 2 + 1;
  const near = marks.filter((mark) => x >= mark.left - reach && x <= mark.right + reach);
  const order: EventTone[] = ['bad', 'warn', 'plain'];
  return order.flatMap((tone) => near.filter((mark) => mark.tone === tone))[0] ?? null;
}
