/** Finds things by what people type: all words must be there, and the closer to the name's beginning the better. */

/** In the order in which equally good matches are listed. */
export const kinds = ['page', 'host', 'board', 'group', 'name', 'process', 'field'] as const;
export type Kind = (typeof kinds)[number];

export interface Item {
  kind: Kind;
  title: string;
  /** Shown beside the title, and searched after it. */
  detail: string;
}

/** Before letters that begin a word. */
const BEGINS = /(^|[\s:/_.()[\]-])$/;

/** How well one word matches: 3 at the beginning of the title, 2 of a word in it, 1 elsewhere in it, 0.5 in the detail. */
function scoreOf(word: string, title: string, detail: string): number {
  const at = title.indexOf(word);
  if (at === 0) return 3;
  for (let i = at; i > 0; i = title.indexOf(word, i + 1)) if (BEGINS.test(title.slice(0, i))) return 2;
  if (at > 0) return 1;
  return detail.includes(word) ? 0.5 : 0;
}

function score({ title, detail }: Item, words: readonly string[]): number {
  const [low, rest] = [title.toLowerCase(), detail.toLowerCase()];
  const scores = words.map((word) => scoreOf(word, low, rest));
  if (scores.includes(0)) return 0;
  // Nothing is closer than the name itself.
  const whole = low === words.join(' ') ? 3 : 0;
  return scores.reduce((sum, one) => sum + one, whole);
}

/** The best matches; without words the first kinds. */
export function search<T extends Item>(items: readonly T[], text: string, most: number): T[] {
  const words = text
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '');
  const found = items
    .map((item) => ({ item, score: words.length === 0 ? 1 : score(item, words) }))
    .filter((one) => one.score > 0);
  found.sort((a, b) => b.score - a.score || kinds.indexOf(a.item.kind) - kinds.indexOf(b.item.kind));
  return found.slice(0, most).map(({ item }) => item);
}
