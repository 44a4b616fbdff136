/** Which frames are where: what is outside of the view, or too narrow to be seen, is never visited. */
import { at, ROOT, type FlameTree } from './tree';

/** The part of the whole width that is shown, in the unit of the widths. */
export interface View {
  from: number;
  to: number;
}

export interface Visitor {
  /** Edges in pixels, within the width. */
  frame: (node: number, depth: number, x: number, width: number) => void;
  /** Callees too narrow to be told apart. */
  merged: (parent: number, depth: number, x: number, width: number) => void;
}

/** Narrower frames are merged, pixels. */
export const MIN_WIDTH = 1.5;

export const viewOf = (tree: FlameTree, node: number): View => {
  const from = at(tree.left, node);
  return { from, to: from + at(tree.width.total, node) };
};

export function eachVisible(tree: FlameTree, view: View, pixels: number, visit: Visitor): void {
  const scale = pixels / (view.to - view.from);
  if (!Number.isFinite(scale)) return;
  const pending = [ROOT];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    const x = Math.max(0, (at(tree.left, node) - view.from) * scale);
    const end = Math.min(pixels, (at(tree.left, node) + at(tree.width.total, node) - view.from) * scale);
    visit.frame(node, at(tree.depth, node), x, end - x);
    const last = at(tree.firstCallee, node + 1);
    for (let i = at(tree.firstCallee, node); i < last; i += 1) {
      const callee = at(tree.callees, i);
      const start = (at(tree.left, callee) - view.from) * scale;
      const width = at(tree.width.total, callee) * scale;
      if (start >= pixels) break;
      if (width < MIN_WIDTH) {
        // The largest come first: the rest is narrower still.
        const rest = at(tree.callees, last - 1);
        const until = Math.min(
          pixels,
          (at(tree.left, rest) + at(tree.width.total, rest) - view.from) * scale,
        );
        const begin = Math.max(0, start);
        if (until > begin) visit.merged(node, at(tree.depth, callee), begin, until - begin);
        break;
      }
      if (start + width > 0) pending.push(callee);
    }
  }
}

/** The frame at a place, given in the unit of the widths; null if there is none or it is too narrow to be shown. */
export function frameAt(tree: FlameTree, position: number, depth: number, narrowest: number): number | null {
  let node = ROOT;
  while (at(tree.depth, node) < depth) {
    let [low, high] = [at(tree.firstCallee, node), at(tree.firstCallee, node + 1) - 1];
    // The last callee that begins at or before it.
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (at(tree.left, at(tree.callees, middle)) <= position) low = middle;
      else high = middle - 1;
    }
    if (low > high || low >= at(tree.firstCallee, node + 1)) return null;
    node = at(tree.callees, low);
    const inside = position - at(tree.left, node);
    const width = at(tree.width.total, node);
    if (inside < 0 || inside >= width || width < narrowest) return null;
  }
  return node;
}

export type Direction = 'caller' | 'callee' | 'before' | 'after';

/** The neighbour of a frame, as the arrow keys go; itself where there is none. */
export function neighbour(tree: FlameTree, node: number, direction: Direction): number {
  if (direction === 'caller') return at(tree.parent, node);
  if (direction === 'callee') {
    const first = at(tree.firstCallee, node);
    return first < at(tree.firstCallee, node + 1) ? at(tree.callees, first) : node;
  }
  if (node === ROOT) return node;
  const parent = at(tree.parent, node);
  const siblings = tree.callees.subarray(at(tree.firstCallee, parent), at(tree.firstCallee, parent + 1));
  return siblings[siblings.indexOf(node) + (direction === 'after' ? 1 : -1)] ?? node;
}
