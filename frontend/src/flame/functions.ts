/** What each function has on its own and with its callees. A stack in which it is several times counts once. */
import { at, ROOT, type Amounts, type FlameTree } from './tree';

/** Runs through the tree as the program did: `enter` before callees, `leave` after them. */
function walk(tree: FlameTree, enter: (node: number) => void, leave: (node: number) => void): void {
  const next = tree.firstCallee.slice();
  let node = ROOT;
  for (;;) {
    const place = at(next, node);
    if (place < at(tree.firstCallee, node + 1)) {
      next[node] = place + 1;
      node = at(tree.callees, place);
      enter(node);
    } else if (node === ROOT) {
      return;
    } else {
      leave(node);
      node = at(tree.parent, node);
    }
  }
}

/** By function. */
export function functionAmounts(tree: FlameTree, amounts: Amounts): Amounts {
  const self = new Float64Array(tree.functions.length);
  const total = new Float64Array(tree.functions.length);
  const open = new Int32Array(tree.functions.length);
  walk(
    tree,
    (node) => {
      const fn = at(tree.fn, node);
      self[fn] = at(self, fn) + at(amounts.self, node);
      if (at(open, fn) === 0) total[fn] = at(total, fn) + at(amounts.total, node);
      open[fn] = at(open, fn) + 1;
    },
    (node) => {
      const fn = at(tree.fn, node);
      open[fn] = at(open, fn) - 1;
    },
  );
  return { self, total };
}

export interface Neighbour {
  /** Index of the function; -1 is none, of what nothing calls. */
  fn: number;
  amount: number;
}

const ranked = (sums: Map<number, number>): Neighbour[] =>
  [...sums].map(([fn, amount]) => ({ fn, amount })).toSorted((a, b) => b.amount - a.amount);

/** Adds up by the other end of a call, but each stack once. */
class Calls {
  readonly sums = new Map<number, number>();
  readonly #open = new Map<number, number>();

  enter(other: number, amount: number): void {
    const depth = this.#open.get(other) ?? 0;
    if (depth === 0) this.sums.set(other, (this.sums.get(other) ?? 0) + amount);
    this.#open.set(other, depth + 1);
  }

  leave(other: number): void {
    this.#open.set(other, (this.#open.get(other) ?? 1) - 1);
  }
}

/** Who calls a function, and whom it calls, largest first. */
export function neighboursOf(
  tree: FlameTree,
  { total }: Amounts,
  fn: number,
): { callers: Neighbour[]; callees: Neighbour[] } {
  const [callers, callees] = [new Calls(), new Calls()];
  const callerOf = (node: number): number => at(tree.fn, at(tree.parent, node));
  walk(
    tree,
    (node) => {
      if (at(tree.fn, node) === fn) callers.enter(callerOf(node), at(total, node));
      if (callerOf(node) === fn) callees.enter(at(tree.fn, node), at(total, node));
    },
    (node) => {
      if (at(tree.fn, node) === fn) callers.leave(callerOf(node));
      if (callerOf(node) === fn) callees.leave(at(tree.fn, node));
    },
  );
  return { callers: ranked(callers.sums), callees: ranked(callees.sums) };
}
