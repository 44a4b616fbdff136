/** Functions that match a regular expression, and how much they are of all. */
import { at, type Amounts, type FlameTree, type ProfileFunction } from './tree';

export type Pattern = { test: (fn: ProfileFunction) => boolean } | { problem: string };

/** Names of C++ have brackets that need not be escaped without `u`. */
const FLAGS = ['iu', 'i'];

/** Of names and modules, in any case; null if nothing is searched. */
export function patternOf(text: string): Pattern | null {
  const source = text.trim();
  if (source === '') return null;
  let problem = '';
  for (const flags of FLAGS) {
    try {
      const expression = new RegExp(source, flags);
      return { test: ({ name, module }) => expression.test(name) || expression.test(module) };
    } catch (caught) {
      problem = /:\s*([^:]+)$/.exec(String(caught))?.[1] ?? 'Not a regular expression';
    }
  }
  return { problem };
}

/** An expression that matches only this. */
export const escaped = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');

/** By function: whether it matches. */
export function matchesOf(
  tree: FlameTree,
  test: (fn: ProfileFunction, index: number) => boolean,
): Uint8Array {
  return Uint8Array.from(tree.functions, (fn, index) => (test(fn, index) ? 1 : 0));
}

/** What is in stacks with a match, each counted once. */
export function matchedAmount(tree: FlameTree, { total }: Amounts, matches: Uint8Array): number {
  const covered = new Uint8Array(tree.fn.length);
  let sum = 0;
  for (let n = 1; n < covered.length; n += 1) {
    const isCovered = at(covered, at(tree.parent, n)) === 1;
    const isMatch = at(matches, at(tree.fn, n)) === 1;
    if (isMatch && !isCovered) sum += at(total, n);
    covered[n] = isMatch || isCovered ? 1 : 0;
  }
  return sum;
}
