/**
 * Finds the dictionary's description of a field by its concrete path, such as `interfaces.eth0.bytes_recv`: items of
 * lists and maps are named by their labels, or all included if the label is left out (`per_core`).
 */
import { dictionary, type FieldKind, type FieldUnit } from '@/api/dictionary';

export interface Field {
  unit: FieldUnit;
  kind: FieldKind;
  help: string;
}

/** A node in the documents of one type. */
export interface Node {
  field?: Field;
  members: Map<string, Node>;
  things?: Things;
}

/** The items of a list or map. */
export interface Things {
  labels: readonly string[];
  /** The members that hold the labels, in a list of objects. */
  carriers: readonly string[];
  /** Whether a label is the position in a list. */
  positions: boolean;
  inside: Node;
}

/** A part of a path; with labels, it names an item, or includes all of them (`null`). */
export interface Step {
  name: string;
  labels?: readonly string[];
  thing?: string | null;
}

export interface Found {
  field: Field;
  steps: readonly Step[];
}

const newNode = (): Node => ({ members: new Map() });

function member(of: Node, name: string): Node {
  const known = of.members.get(name);
  if (known !== undefined) return known;
  const made = newNode();
  of.members.set(name, made);
  return made;
}

/** `[#cpu]`, `[interface=name]`, `{device}` or `{event!cpu-clock}`. */
function thingsIn(notation: string): Omit<Things, 'inside'> {
  const inside = notation.slice(1, -1);
  if (notation.startsWith('{')) {
    return { labels: [inside.split('!', 1)[0] ?? ''], carriers: [], positions: false };
  }
  if (inside.startsWith('#')) return { labels: [inside.slice(1)], carriers: [], positions: true };
  const pairs = inside.split(',').map((pair) => pair.split('='));
  const [labels, carriers] = [pairs.map(([label]) => label ?? ''), pairs.map((pair) => pair.at(-1) ?? '')];
  return { labels, carriers, positions: false };
}

function add(root: Node, path: string, field: Field): void {
  let node = root;
  for (const part of path.split('.')) {
    const [, name = '', notation = ''] = /^([^[{]*)(.*)$/.exec(part) ?? [];
    node = member(node, name);
    if (/^\[\d+\]$/.test(notation)) node = member(node, notation.slice(1, -1));
    // A list that is kept whole, such as events, is one field.
    else if (notation !== '' && notation !== '[#n]') {
      node.things ??= { ...thingsIn(notation), inside: newNode() };
      node = node.things.inside;
    }
  }
  node.field = field;
}

const trees = new Map<string, Node>();

/** The nodes of a metric type, even of one that the dictionary lacks. */
export function treeOf(metricType: string): Node {
  const known = trees.get(metricType);
  if (known !== undefined) return known;
  const root = newNode();
  const entries = Object.entries(dictionary).find(([type]) => type === metricType)?.[1] ?? [];
  for (const [path, unit, kind, help] of entries) add(root, path, { unit, kind, help });
  trees.set(metricType, root);
  return root;
}

/** The prefixes of a path that end before a dot or at its end: names of items may contain dots. */
export function* heads(path: string): Generator<readonly [head: string, rest: string | null]> {
  for (let end = path.indexOf('.'); end >= 0; end = path.indexOf('.', end + 1)) {
    yield [path.slice(0, end), path.slice(end + 1)];
  }
  yield [path, null];
}

/** The path so far, whose last part turns out to hold items. */
const naming = (steps: readonly Step[], { labels }: Things, thing: string | null): Step[] =>
  steps.map((step, i) => (i === steps.length - 1 ? { ...step, labels, thing } : step));

function search(node: Node, path: string | null, steps: readonly Step[]): Found | null {
  const { field, members, things } = node;
  if (path === null && field !== undefined) return { field, steps };
  for (const [name, rest] of path === null ? [] : heads(path)) {
    const inside = members.get(name);
    if (inside === undefined) continue;
    // One item of a map can have its own description.
    const found = search(inside, rest, things ? naming(steps, things, name) : [...steps, { name }]);
    if (found !== null) return found;
  }
  if (things === undefined) return null;
  const all = search(things.inside, path, naming(steps, things, null));
  if (all !== null || path === null) return all;
  for (const [thing, rest] of heads(path)) {
    const found = search(things.inside, rest, naming(steps, things, thing));
    if (found !== null) return found;
  }
  return null;
}

/** Paths are looked up repeatedly, in every frame of a chart. */
const answers = new Map<string, Found | null>();
const MOST_ANSWERS = 5000;

export function find(metricType: string, path: string): Found | null {
  const key = `${metricType} ${path}`;
  const known = answers.get(key);
  if (known !== undefined) return known;
  const found = search(treeOf(metricType), path, []);
  if (answers.size >= MOST_ANSWERS) answers.clear();
  answers.set(key, found);
  return found;
}
