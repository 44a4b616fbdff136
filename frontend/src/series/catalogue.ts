/** All fields that can be plotted, each named once, with its unit and meaning from the dictionary. */
import { fieldName, helpOf, isOfThing, metricName, unitText } from '@/format/fields';
import { titleIn, type Leaves } from './leaves';

export interface Entry {
  metric: string;
  path: string;
  /** Within its metric type. */
  name: string;
  unit: string;
  help: string;
  isDistribution: boolean;
  /** What a search looks through, in lower case. */
  text: string;
}

/** `per_core.2` before `per_core.10`. */
const { compare } = new Intl.Collator('en', { numeric: true });

/** The fields of a document; those of the whole machine come before those of its parts, distributions first. */
function inOrder(metric: string, leaves: Leaves): string[] {
  const numbers = new Set(leaves.numbers);
  // Of what is counted, the rate is plotted.
  const plotted = leaves.numbers.filter((path) => !numbers.has(`${path}_per_sec`));
  const all = [...leaves.histograms.toSorted(compare), ...plotted.toSorted(compare)];
  const ofThings = new Set(all.filter((path) => isOfThing(metric, path)));
  return [...all.filter((path) => !ofThings.has(path)), ...ofThings];
}

export function entriesOf(metric: string, leaves: Leaves): Entry[] {
  const distributions = new Set(leaves.histograms);
  const names = new Set<string>();
  return inOrder(metric, leaves).map((path) => {
    const isDistribution = distributions.has(path);
    const unit = isDistribution ? 'distribution' : unitText(metric, path);
    const plain = fieldName(metric, path, titleIn(leaves, path));
    // Interrupts per second, and the share of time in them.
    const name = names.has(plain) ? `${plain} (${unit})` : plain;
    names.add(name);
    // Marked as code for the documentation.
    const help = helpOf(metric, path).replaceAll('`', '');
    const text = `${metricName(metric)} ${name} ${path} ${help}`.toLowerCase();
    return { metric, path, name, unit, help, isDistribution, text };
  });
}

/** How near a search is to an entry's name: 2 is the name itself, 1 in it, 0 only in its path or meaning. */
function nearness({ metric, name }: Entry, words: readonly string[]): number {
  const low = name.toLowerCase();
  if (low === words.join(' ')) return 2;
  const title = `${metricName(metric)} ${name}`.toLowerCase();
  return words.every((word) => title.includes(word)) ? 1 : 0;
}

/** Entries with all of the words, the nearest first. */
export function matching(entries: readonly Entry[], search: string): Entry[] {
  const words = search
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '');
  const found = entries.filter(({ text }) => words.every((word) => text.includes(word)));
  if (words.length === 0) return found;
  const near = new Map(found.map((entry) => [entry, nearness(entry, words)]));
  return found.toSorted((a, b) => (near.get(b) ?? 0) - (near.get(a) ?? 0));
}
