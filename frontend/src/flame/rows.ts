/** Rows of the table of functions, of one range or of a comparison. */
import { pointsText, shareText } from '@/series/profileTexts';
import { functionAmounts } from './functions';
import { at, ROOT, type FlameTree } from './tree';

/** Not functions: a process, and what small stacks add up to, which moves with their number. */
const PROCESS = '[process]';
const OTHER = '[other]';

export interface Cell {
  /** What it is ordered by. */
  value: number;
  text: string;
  detail: string;
  /** Of the bar behind it, 0 to 1. */
  bar: number;
  tone: 'plain' | 'less' | 'more';
}

export interface FunctionRow {
  fn: number;
  name: string;
  module: string;
  /** Place in the usual order. */
  rank: number;
  self: Cell;
  total: Cell;
  /** Within the noise of sampling. */
  isFaint: boolean;
}

export const sortKeys = ['rank', 'name', 'self', 'total'] as const;
export type FunctionSort = (typeof sortKeys)[number];

/** A change of a function's shares, as the server ranks them. */
export interface FunctionChange {
  function: number;
  self_share: number;
  total_share: number;
  comparison_self_share: number;
  comparison_total_share: number;
  is_significant: boolean;
}

export function plainRows(tree: FlameTree, amountText: (amount: number) => string): FunctionRow[] {
  const { self, total } = functionAmounts(tree, tree.width);
  const all = at(tree.width.total, ROOT);
  const most = self.reduce((a, b) => Math.max(a, b), 0);
  const cell = (value: number, largest: number): Cell => {
    const text = shareText(all > 0 ? value / all : 0);
    return { value, text, detail: amountText(value), bar: largest > 0 ? value / largest : 0, tone: 'plain' };
  };
  return tree.functions
    .map(({ name, module }, fn) => ({
      fn,
      name,
      module,
      rank: 0,
      self: cell(at(self, fn), most),
      total: cell(at(total, fn), all),
      isFaint: false,
    }))
    .filter(({ total, module }) => total.value > 0 && module !== PROCESS)
    .toSorted((a, b) => b.self.value - a.self.value || b.total.value - a.total.value)
    .map((row, rank) => ({ ...row, rank }));
}

export function changedRows(tree: FlameTree, changes: readonly FunctionChange[]): FunctionRow[] {
  const largest = Math.max(
    1e-9,
    ...changes.flatMap((one) => [
      Math.abs(one.self_share - one.comparison_self_share),
      Math.abs(one.total_share - one.comparison_total_share),
    ]),
  );
  const cell = (now: number, before: number): Cell => {
    const value = now - before;
    return {
      value,
      text: pointsText(value),
      detail: `${shareText(before).replace(' %', '')} → ${shareText(now)}`,
      bar: Math.abs(value) / largest,
      tone: value > 0 ? 'more' : value < 0 ? 'less' : 'plain',
    };
  };
  return changes.flatMap((one, rank) => {
    const fn = tree.functions[one.function];
    if (fn === undefined || fn.module === PROCESS || fn.name === OTHER) return [];
    return {
      fn: one.function,
      ...fn,
      rank,
      self: cell(one.self_share, one.comparison_self_share),
      total: cell(one.total_share, one.comparison_total_share),
      isFaint: !one.is_significant,
    };
  });
}

/** The largest first, names from A, ranks from the first; or all of that reversed. */
export function sortedRows(
  rows: readonly FunctionRow[],
  sort: FunctionSort,
  isReversed: boolean,
): FunctionRow[] {
  const byName = (a: FunctionRow, b: FunctionRow): number => a.name.localeCompare(b.name, 'en');
  const orders: Record<FunctionSort, (a: FunctionRow, b: FunctionRow) => number> = {
    rank: (a, b) => a.rank - b.rank,
    name: byName,
    self: (a, b) => b.self.value - a.self.value || a.rank - b.rank,
    total: (a, b) => b.total.value - a.total.value || a.rank - b.rank,
  };
  const sorted = rows.toSorted(orders[sort]);
  return isReversed ? sorted.reverse() : sorted;
}
