/**
 * The numbers and histograms inside a document, by path. Items of lists are named by what identifies them, like the
 * server does: `interfaces.eth0.bytes_recv`, `per_core.3`; without a name (`per_core`) all are included.
 */
import type { Histogram } from '@/api/types';
import { heads, treeOf, type Node, type Things } from '@/format/dictionary';
import { isHistogram } from './histogram';

export interface Leaves {
  numbers: string[];
  histograms: string[];
  /** Names of items identified by a number: `firefox (1234)` for `top.1234`. */
  titles: Record<string, string>;
}

const DEPTH = 6;

type Json = Record<string, unknown>;

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null;
const joined = (path: string, name: string): string => (path === '' ? name : `${path}.${name}`);

const inMap = (node: Node | undefined, key: string): Node | undefined =>
  node?.members.get(key) ?? node?.things?.inside;

function labelOf(item: unknown, { carriers }: Things): string {
  const text = (value: unknown): string =>
    typeof value === 'string' || typeof value === 'number' ? value.toString() : '';
  return isObject(item) ? carriers.map((name) => text(item[name])).join('.') : '';
}

/** Whether the items of a list are one measurement of many equal parts, which can be shown as one. */
const areAlike = ({ positions, labels }: Things): boolean => positions || labels.includes('cpu');

class Walk {
  readonly numbers = new Set<string>();
  readonly histograms = new Set<string>();
  readonly titles: Record<string, string> = {};

  visit(node: Node | undefined, path: string, value: unknown, depth: number): void {
    const kind = node?.field?.kind;
    // Fields in a query are separated by commas.
    if (kind === 'state' || kind === 'events' || path.includes(',')) return;
    if (typeof value === 'number') this.numbers.add(path);
    if (!isObject(value) || depth === 0) return;
    if (isHistogram(value)) this.histograms.add(path);
    else if (Array.isArray(value)) this.list(node, path, value, depth);
    else this.members(node, path, value, depth);
  }

  private members(node: Node | undefined, path: string, value: Json, depth: number): void {
    for (const [key, inner] of Object.entries(value)) {
      if (!key.startsWith('_')) this.visit(inMap(node, key), joined(path, key), inner, depth - 1);
    }
  }

  private list(node: Node | undefined, path: string, items: readonly unknown[], depth: number): void {
    const things = node?.things;
    items.forEach((item, i) => {
      if (things === undefined || things.positions) {
        // Items of a list without a description have no names.
        if (!isObject(item))
          this.visit(inMap(node, i.toString()), joined(path, i.toString()), item, depth - 1);
      } else if (isObject(item)) {
        const place = joined(path, labelOf(item, things));
        if (typeof item.comm === 'string') this.titles[place] = `${item.comm} (${labelOf(item, things)})`;
        this.thing(things, place, item, depth);
      }
      if (things !== undefined && areAlike(things) && items.length > 1) this.thing(things, path, item, depth);
    });
  }

  private thing(things: Things, path: string, item: unknown, depth: number): void {
    if (!isObject(item)) {
      this.visit(things.inside, path, item, depth - 1);
      return;
    }
    for (const [key, inner] of Object.entries(item)) {
      if (things.carriers.includes(key)) continue;
      this.visit(inMap(things.inside, key), joined(path, key), inner, depth - 1);
    }
  }
}

export function leavesOf(metricType: string, document: unknown): Leaves {
  const walk = new Walk();
  walk.visit(treeOf(metricType), '', document, DEPTH);
  return { numbers: [...walk.numbers], histograms: [...walk.histograms], titles: walk.titles };
}

/** The name of an item on the way to a field, if it has a better one than its path gives. */
export function titleIn({ titles }: Leaves, path: string): string | null {
  for (const [head] of heads(path)) if (Object.hasOwn(titles, head)) return titles[head] ?? null;
  return null;
}

/** Everything at a path; names may contain dots. */
function reach(node: Node | undefined, value: unknown, path: string | null): unknown[] {
  if (Array.isArray(value)) return reachIn(value, node, path);
  if (path === null) return [value];
  if (!isObject(value)) return [];
  // The longest name first: `dm-0.1` before `dm-0`.
  for (const [key, rest] of [...heads(path)].reverse()) {
    if (Object.hasOwn(value, key)) return reach(inMap(node, key), value[key], rest);
  }
  return [];
}

function reachIn(items: readonly unknown[], node: Node | undefined, path: string | null): unknown[] {
  const things = node?.things;
  const all = (): unknown[] => items.flatMap((item) => reach(things?.inside, item, path));
  if (path === null) return all();
  if (things === undefined || things.positions) {
    const [, at, rest] = /^(\d+)(?:\.(.*))?$/.exec(path) ?? [];
    return at === undefined ? all() : reach(things?.inside, items[Number(at)], rest ?? null);
  }
  const named = items.flatMap((item) => {
    const label = labelOf(item, things);
    return path.startsWith(`${label}.`) ? reach(things.inside, item, path.slice(label.length + 1)) : [];
  });
  return named.length > 0 ? named : all();
}

/** The number at a path, or all of them if it leads to all items of a list. */
export function numbersAt(metricType: string, document: unknown, path: string): number[] {
  return reach(treeOf(metricType), document, path).filter((one) => typeof one === 'number');
}

export function histogramAt(document: unknown, path: string): Histogram | null {
  const value = reach(undefined, document, path)[0];
  return isHistogram(value) ? value : null;
}
