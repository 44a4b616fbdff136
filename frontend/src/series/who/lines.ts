/** The lines of the table: rows filtered and sorted, flat or as a tree by parent or by cgroup. Pure. */
import { titleOf } from './group';
import { addUp, amounts, type Amount, type Used, type WhoRow } from './rows';

export type Tree = 'none' | 'parent' | 'cgroup';
export type SortKey = 'name' | 'pid' | 'user' | 'group' | Amount;

export interface View {
  search: string;
  sort: SortKey;
  descending: boolean;
  tree: Tree;
  /** Keys of the branches that are closed. */
  closed: ReadonlySet<string>;
}

export interface Line {
  row: WhoRow;
  depth: number;
  /** Null for a leaf. */
  open: boolean | null;
  /** Rows below it, at any depth. */
  below: number;
  /** What is shown: a closed branch shows everything in it, and so does a cgroup. */
  used: Used;
}

const isAmount = (key: SortKey): key is Amount => (amounts as readonly string[]).includes(key);

export const groupName = (row: WhoRow): string =>
  row.cgroup === null ? '' : titleOf(row.cgroup, row.group).name;

function words(search: string): string[] {
  return search
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '');
}

function textOf(row: WhoRow): string {
  const parts = [row.pid, row.name, row.command, row.user, row.cgroup, row.group?.name, row.group?.image];
  return parts
    .filter((part) => part !== null && part !== undefined)
    .join(' ')
    .toLowerCase();
}

interface Node {
  row: WhoRow;
  children: Node[];
  /** With everything below. */
  sum: Used;
  below: number;
}

type Compare = (a: Node, b: Node) => number;

/** Absent values last in either direction; equal ones by name and PID, so that they keep their places. */
function comparing(key: SortKey, descending: boolean): Compare {
  const sign = descending ? -1 : 1;
  const tie = (a: Node, b: Node): number => {
    if (a.row.name !== b.row.name) return a.row.name < b.row.name ? -1 : 1;
    return (a.row.pid ?? 0) - (b.row.pid ?? 0);
  };
  if (isAmount(key) || key === 'pid') {
    const of = (node: Node) => (key === 'pid' ? node.row.pid : node.sum[key]);
    return (a, b) => {
      const [x, y] = [of(a), of(b)];
      if (typeof x !== 'number' || typeof y !== 'number') {
        if (typeof x === 'number') return -1;
        return typeof y === 'number' ? 1 : tie(a, b);
      }
      return x === y ? tie(a, b) : sign * (x - y);
    };
  }
  const texts = new Map<WhoRow, string>();
  const of = ({ row }: Node): string => {
    let text = texts.get(row);
    if (text === undefined) {
      text = key === 'name' ? row.name : key === 'user' ? (row.user ?? '') : groupName(row);
      texts.set(row, text);
    }
    return text;
  };
  return (a, b) => {
    const [x, y] = [of(a), of(b)];
    if (x === y) return tie(a, b);
    if (x === '' || y === '') return x === '' ? 1 : -1;
    return x < y ? -sign : sign;
  };
}

const leaf = (row: WhoRow): Node => ({ row, children: [], sum: row.used, below: 0 });

/** Adds up from the leaves; `order` has every node before its children. */
function total(order: readonly Node[]): void {
  for (const node of order.toReversed()) {
    if (node.children.length === 0) {
      node.sum = node.row.used;
      continue;
    }
    const parts = node.children.map(({ sum }) => ({ used: sum }));
    node.sum = { ...node.row.used, ...addUp([node.row, ...parts]) };
    node.below = node.children.reduce((sum, { below }) => sum + below + 1, 0);
  }
}

function everyNode(roots: readonly Node[]): Node[] {
  const order = [...roots];
  // Grows while it is walked, so that depth does not matter.
  for (const node of order) for (const child of node.children) order.push(child);
  return order;
}

/** Under their parents. A PID that was reused could make a circle: its first row is then a root. */
function byParent(rows: readonly WhoRow[]): Node[] {
  const nodes = rows.map(leaf);
  const byPid = new Map<number, Node>();
  for (const node of nodes)
    if (node.row.pid !== null && !byPid.has(node.row.pid)) byPid.set(node.row.pid, node);
  const placed = new Map<Node, Node | null>();
  const parentOf = (node: Node): Node | null => {
    const parent = node.row.parent === null ? undefined : byPid.get(node.row.parent);
    return parent === undefined || parent === node ? null : parent;
  };
  for (const node of nodes) {
    const path = new Set<Node>();
    let at: Node | null = node;
    while (at !== null && !placed.has(at)) {
      path.add(at);
      const parent = parentOf(at);
      const closes = parent !== null && path.has(parent);
      placed.set(at, closes ? null : parent);
      at = closes ? null : parent;
    }
  }
  const roots: Node[] = [];
  for (const node of nodes) {
    const parent = placed.get(node) ?? null;
    if (parent === null) roots.push(node);
    else parent.children.push(node);
  }
  return roots;
}

const branch = (path: string, name: string): WhoRow => ({
  key: `cgroup ${path}`,
  kind: 'cgroup',
  id: path,
  name,
  pid: null,
  parent: null,
  command: null,
  executable: null,
  user: null,
  cgroup: path === '' ? null : path,
  group: null,
  started: null,
  exited: false,
  used: {},
  peak: null,
  sums: null,
  course: null,
  seen: null,
});

export const NO_CGROUP = 'cgroup not known';

/** Under their cgroups, and these under those above them. Groups with only one group in them are not told apart. */
function byCgroup(rows: readonly WhoRow[]): Node[] {
  const root = leaf(branch('/', '/'));
  /** What is in no other group than the root. */
  const own = leaf(branch('/', '/'));
  const unknown = leaf(branch('', NO_CGROUP));
  const groups = new Map<string, Node>([['/', root]]);
  const groupAt = (path: string): Node => {
    const known = groups.get(path);
    if (known !== undefined) return known;
    const above = groupAt(path.slice(0, path.lastIndexOf('/')) || '/');
    const node = leaf(branch(path, titleOf(path, null).name));
    groups.set(path, node);
    above.children.push(node);
    return node;
  };
  for (const row of rows) {
    if (row.cgroup === null) {
      unknown.children.push(leaf(row));
      continue;
    }
    const path = row.cgroup.replace(/\/+$/, '') || '/';
    const place = path === '/' ? own : groupAt(path);
    // A cgroup's own row takes the place of its branch.
    if (row.kind === 'cgroup') place.row = { ...row, key: place.row.key };
    else {
      place.children.push(leaf(row));
      if (place.row.group === null && row.group !== null)
        place.row = { ...place.row, group: row.group, name: titleOf(row.cgroup, row.group).name };
    }
  }
  const isPassage = (node: Node): boolean =>
    node.children.length === 1 &&
    node.children[0]?.row.kind === 'cgroup' &&
    Object.keys(node.row.used).length === 0;
  for (const node of everyNode([root]))
    node.children = node.children.map((child) => {
      let at = child;
      for (let only = at.children[0]; only !== undefined && isPassage(at); only = at.children[0]) at = only;
      return at;
    });
  const isUsed = ({ row, children }: Node): boolean =>
    children.length > 0 || Object.keys(row.used).length > 0;
  return [...root.children, ...[own, unknown].filter(isUsed)];
}

/** Every row that matches, and in a tree by parent those it descends from. */
function matching(rows: readonly WhoRow[], { search, tree }: View): readonly WhoRow[] {
  const wanted = words(search);
  if (wanted.length === 0) return rows;
  const found = rows.filter((row) => {
    const text = textOf(row);
    return wanted.every((word) => text.includes(word));
  });
  if (tree !== 'parent') return found;
  const byPid = new Map(rows.map((row) => [row.pid, row]));
  const kept = new Set(found);
  for (const row of kept) {
    const parent = row.parent === null ? undefined : byPid.get(row.parent);
    if (parent !== undefined) kept.add(parent);
  }
  return rows.filter((row) => kept.has(row));
}

export function linesOf(rows: readonly WhoRow[], view: View): Line[] {
  const found = matching(rows, view);
  const compare = comparing(view.sort, view.descending);
  if (view.tree === 'none') {
    const nodes = found.map(leaf).sort(compare);
    return nodes.map(({ row }) => ({ row, depth: 0, open: null, below: 0, used: row.used }));
  }
  const roots = view.tree === 'parent' ? byParent(found) : byCgroup(found);
  const order = everyNode(roots);
  total(order);
  for (const node of order) node.children.sort(compare);
  roots.sort(compare);
  const lines: Line[] = [];
  const pending = roots.toReversed().map((node) => ({ node, depth: 0 }));
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { node, depth } = next;
    const { row, children, sum, below } = node;
    const open = children.length === 0 ? null : !view.closed.has(row.key);
    const used = row.kind === 'cgroup' || open === false ? sum : row.used;
    lines.push({ row, depth, open, below, used });
    if (open === true)
      for (const child of children.toReversed()) pending.push({ node: child, depth: depth + 1 });
  }
  return lines;
}

/** Which amounts any of them has: columns of what is not measured here would only show dashes. */
export function measured(rows: readonly WhoRow[]): ReadonlySet<Amount> {
  const left = new Set<Amount>(amounts);
  const found = new Set<Amount>();
  for (const { used } of rows) {
    for (const amount of left) {
      if (typeof used[amount] !== 'number') continue;
      found.add(amount);
      left.delete(amount);
    }
    if (left.size === 0) break;
  }
  return found;
}

/** The largest of each amount, which bars are relative to. */
export function largest(lines: readonly Line[]): Partial<Record<Amount, number>> {
  const most: Partial<Record<Amount, number>> = {};
  for (const { used } of lines)
    for (const amount of amounts) {
      const value = used[amount];
      if (typeof value === 'number' && value > (most[amount] ?? 0)) most[amount] = value;
    }
  return most;
}
