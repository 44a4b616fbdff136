/** Fields as alert rules name them: `disk.devices.read_latency_ms` with the label `device`, for `devices.sda.read_latency_ms`. */
import { dictionary, type FieldKind, type FieldUnit } from '@/api/dictionary';
import { find } from '@/format/dictionary';
import { fieldName, metricName } from '@/format/fields';
import type { Panel } from './board';

type Labels = Record<string, string>;

export interface RuleField {
  field: string;
  /** Of the one thing that the path is about; empty for all of them. */
  labels: Labels;
}

/** A mount point among the labels of a partition, which are joined by dots. */
const MOUNT_POINT = /\.(\/.*?)\.(?:fuse\.)?[^.]*$/;

function labelsOf(names: readonly string[], thing: string): Labels {
  const [first] = names;
  if (first === undefined) return {};
  if (names.length === 1) return { [first]: thing };
  const mountpoint = MOUNT_POINT.exec(thing)?.[1];
  return names.includes('mountpoint') && mountpoint !== undefined ? { mountpoint } : {};
}

/** The field of a plotted path. */
export function ruleFieldOf(metric: string, path: string): RuleField {
  const steps = find(metric, path)?.steps ?? path.split('.').map((name) => ({ name }));
  const labels: Labels = {};
  for (const step of steps) {
    const { labels: names, thing } = step as { labels?: readonly string[]; thing?: string | null };
    if (names !== undefined && typeof thing === 'string') Object.assign(labels, labelsOf(names, thing));
  }
  return { field: [metric, ...steps.map(({ name }) => name)].join('.'), labels };
}

export interface KnownField {
  metric: string;
  unit: FieldUnit;
  kind: FieldKind;
  help: string;
  /** Of the things that it is of. */
  labels: readonly string[];
}

/** `partitions[device,mountpoint].used_bytes` as a rule spells it, and the names of the labels. */
function notation(path: string): { name: string; labels: string[] } {
  const labels: string[] = [];
  const name = path.replace(/\[([^\]]*)\]|\{([^}]*)\}/g, (_, list?: string, map?: string) => {
    if (list !== undefined && /^\d+$/.test(list)) return `.${list}`;
    const names = (list ?? map ?? '').replace(/^#/, '').split(',');
    labels.push(...names.map((one) => one.split(/[=!]/, 1)[0] ?? ''));
    return '';
  });
  return { name, labels };
}

let known: Map<string, KnownField> | undefined;

function all(): Map<string, KnownField> {
  if (known !== undefined) return known;
  known = new Map();
  for (const [metric, entries] of Object.entries(dictionary)) {
    for (const [path, unit, kind, help] of entries) {
      const { name, labels } = notation(path);
      known.set(`${metric}.${name}`, { metric, unit, kind, help: help.replaceAll('`', ''), labels });
    }
  }
  return known;
}

/** All fields by their names. */
export const knownFields = (): ReadonlyMap<string, KnownField> => all();

/** What the dictionary says of a rule's field; undefined if it has none. */
export const knownField = (field: string): KnownField | undefined => all().get(field);

/** Its name for people: `Disk: read latency`. */
export function ruleFieldName(field: string): string {
  const [metric = '', ...path] = field.split('.');
  return `${metricName(metric)}: ${fieldName(metric, path.join('.'))}`;
}

/** The fields of some panels, each once. */
export function ruleFieldsIn(panels: readonly Panel[]): RuleField[] {
  const found = new Map<string, RuleField>();
  for (const { metric, fields } of panels) {
    for (const path of fields) {
      const one = ruleFieldOf(metric, path);
      if (knownField(one.field) !== undefined) found.set(JSON.stringify(one), one);
    }
  }
  return [...found.values()];
}

/** Means over other times and quantiles of the same distribution are the same measurement. */
const measurementOf = (field: string): string => field.replace(/\.(avg\d+|histogram|p\d+_us|max_us)$/, '');

/** Whether an alert of a rule's field belongs to a chart of this path. */
export function isAbout(field: string, labels: Labels, metric: string, path: string): boolean {
  const shown = ruleFieldOf(metric, path);
  if (measurementOf(shown.field) !== measurementOf(field)) return false;
  return Object.entries(shown.labels).every(([label, thing]) => (labels[label] ?? thing) === thing);
}

/** The unit of a field as the dictionary spells it. */
export const unitOfField = (field: string): string => all().get(field)?.unit ?? '';
