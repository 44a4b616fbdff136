/**
 * Stacks as a tree of frames, in columns: a frame is a number, parents come before their callees, and 0 is everything.
 * Pure and computed once for each answer.
 */
import { plain } from '@/series/who/group';

export interface ProfileFunction {
  name: string;
  /** A file name, `[kernel]`, `[generated]`, `[process]`; empty if it is not known. */
  module: string;
}

export interface Amounts {
  /** Without callees. */
  self: Float64Array;
  total: Float64Array;
}

export interface FlameTree {
  functions: readonly ProfileFunction[];
  functionHashes: Float64Array;
  /** Which function a frame is of; of `ROOT` none. */
  fn: Int32Array;
  parent: Int32Array;
  depth: Int32Array;
  /** The depth of the deepest frame within. */
  deepest: Int32Array;
  /** Callees of `n`, largest first: `callees[firstCallee[n]]` up to before `callees[firstCallee[n + 1]]`. */
  callees: Int32Array;
  firstCallee: Int32Array;
  /** What frames are as wide as: nanoseconds, or of a comparison the mean of both shares. */
  width: Amounts;
  /** Left edges, in the unit of `width`. */
  left: Float64Array;
  /** Of a comparison: shares of each range, 0 to 1. */
  compared: { now: Amounts; before: Amounts; samples: readonly [number, number] } | null;
}

export interface Columns {
  parent: readonly number[];
  function: readonly number[];
  self: readonly number[];
  /** Of what it is compared with. */
  comparison_self?: readonly number[];
}

export interface Whole {
  total: number;
  samples: number;
}

export const ROOT = 0;

/** Of a typed array within its bounds. */
export const at = (array: ArrayLike<number>, index: number): number => array[index] ?? 0;

function withTotals(parent: Int32Array, self: Float64Array): Amounts {
  const total = Float64Array.from(self);
  for (let n = total.length - 1; n > ROOT; n -= 1)
    total[at(parent, n)] = at(total, at(parent, n)) + at(total, n);
  return { self, total };
}

const shares = (values: readonly number[], { total }: Whole): Float64Array =>
  Float64Array.from(values, (value) => (total > 0 ? value / total : 0));

function calleesOf(parent: Int32Array, total: Float64Array): Pick<FlameTree, 'callees' | 'firstCallee'> {
  const size = parent.length;
  const firstCallee = new Int32Array(size + 1);
  for (let n = 1; n < size; n += 1) firstCallee[at(parent, n) + 1] = at(firstCallee, at(parent, n) + 1) + 1;
  for (let n = 0; n < size; n += 1) firstCallee[n + 1] = at(firstCallee, n + 1) + at(firstCallee, n);
  const next = firstCallee.slice();
  const callees = new Int32Array(Math.max(0, size - 1));
  for (let n = 1; n < size; n += 1) {
    const place = at(next, at(parent, n));
    callees[place] = n;
    next[at(parent, n)] = place + 1;
  }
  for (let n = 0; n < size; n += 1) {
    const group = callees.subarray(at(firstCallee, n), at(firstCallee, n + 1));
    if (group.length > 1) group.sort((a, b) => at(total, b) - at(total, a) || a - b);
  }
  return { callees, firstCallee };
}

/** `current` and `comparison` are those of a comparison. */
export function treeOf(
  functions: readonly ProfileFunction[],
  nodes: Columns,
  current?: Whole,
  comparison?: Whole,
): FlameTree {
  const size = Math.max(1, nodes.parent.length);
  const parent = Int32Array.from({ length: size }, (_, n) => nodes.parent[n] ?? 0);
  const fn = Int32Array.from({ length: size }, (_, n) => (n === ROOT ? -1 : (nodes.function[n] ?? -1)));
  let compared: FlameTree['compared'] = null;
  let self = Float64Array.from({ length: size }, (_, n) => nodes.self[n] ?? 0);
  if (current !== undefined && comparison !== undefined) {
    const now = withTotals(parent, shares([...self], current));
    const before = withTotals(
      parent,
      shares(
        Array.from(self, (_, n) => nodes.comparison_self?.[n] ?? 0),
        comparison,
      ),
    );
    compared = { now, before, samples: [current.samples, comparison.samples] };
    self = now.self.map((share, n) => (share + at(before.self, n)) / 2);
  }
  const width = withTotals(parent, self);

  const depth = new Int32Array(size);
  for (let n = 1; n < size; n += 1) depth[n] = at(depth, at(parent, n)) + 1;
  const deepest = depth.slice();
  for (let n = size - 1; n > ROOT; n -= 1)
    deepest[at(parent, n)] = Math.max(at(deepest, at(parent, n)), at(deepest, n));

  const { callees, firstCallee } = calleesOf(parent, width.total);
  const left = new Float64Array(size);
  for (let n = 0; n < size; n += 1) {
    let x = at(left, n);
    for (let i = at(firstCallee, n); i < at(firstCallee, n + 1); i += 1) {
      const callee = at(callees, i);
      left[callee] = x;
      x += at(width.total, callee);
    }
  }
  const shown = functions.map(({ name, module }) => ({ name: plain(name), module: plain(module) }));
  const functionHashes = Float64Array.from(shown, functionHash);
  const order = { parent, depth, deepest, callees, firstCallee };
  return { functions: shown, functionHashes, fn, ...order, width, left, compared };
}

/** From everything inwards, with both. */
export function pathOf({ parent }: FlameTree, node: number): number[] {
  const path = [node];
  for (let n = node; n > ROOT;) {
    n = at(parent, n);
    path.push(n);
  }
  return path.reverse();
}

export const functionOf = (tree: FlameTree, node: number): ProfileFunction | null =>
  tree.functions[at(tree.fn, node)] ?? null;

/** Mixed into 53 bits (cyrb53): what an address names must be the same after a reload. */
function finished(one: number, other: number): number {
  let [a, b] = [one, other];
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return 4294967296 * (2097151 & b) + (a >>> 0);
}

export function textHash(text: string): number {
  let [a, b] = [0xdeadbeef, 0x41c6ce57];
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    a = Math.imul(a ^ code, 2654435761);
    b = Math.imul(b ^ code, 1597334677);
  }
  return finished(a, b);
}

export const functionHash = ({ name, module }: ProfileFunction): number => textHash(`${name}\n${module}`);

/** Of each frame: of its own function and all its callers'. */
export function frameHashes({ fn, parent, functionHashes }: FlameTree): Float64Array {
  const hashes = new Float64Array(fn.length);
  for (let n = 1; n < hashes.length; n += 1) {
    const [caller, own] = [at(hashes, at(parent, n)), at(functionHashes, at(fn, n))];
    const a = Math.imul((caller % 2 ** 32) ^ 0xdeadbeef, 2654435761) ^ (own % 2 ** 32);
    const b = Math.imul((caller / 2 ** 32) ^ 0x41c6ce57, 1597334677) ^ (own / 2 ** 32);
    hashes[n] = finished(Math.imul(a, 2654435761) ^ b, Math.imul(b, 1597334677) ^ a);
  }
  return hashes;
}

/** A hash as an address has it. */
export const hashText = (hash: number): string => hash.toString(36);
export const hashIn = (text: string): number => parseInt(text, 36);
