/** What one frame has, in words. */
import { amountText, pointsText, shareText } from '@/series/profileTexts';
import { at, functionOf, ROOT, type FlameTree, type ProfileFunction } from './tree';

export interface FrameReading {
  name: string;
  module: string;
  /** `Total`, `1.2 s`, `34 % of all, 50 % of the zoomed`. */
  lines: { label: string; value: string; detail: string }[];
}

const modules: Record<string, string> = {
  '[process]': 'process',
  '[kernel]': 'kernel',
  '[generated]': 'generated code',
};

/** What is not a function. */
const places: Record<string, string> = {
  '[cut]': 'outer part of the stack not found',
  '[other]': 'small stacks, added up',
  '[unknown]': 'not known',
  '[waiting for a CPU]': 'in the run queue',
};

/** Where a function is from. */
export function moduleText({ name, module }: ProfileFunction): string {
  if (module === '') return places[name] ?? 'module not known';
  return modules[module] ?? module;
}

export function readingOf(tree: FlameTree, node: number, zoomed: number): FrameReading {
  const fn = functionOf(tree, node);
  const name = fn?.name ?? 'All';
  const module = fn === null ? '' : moduleText(fn);
  if (tree.compared !== null) {
    const { now, before } = tree.compared;
    const line = (label: string, [is, was]: readonly [number, number]) => ({
      label,
      value: `${shareText(was)} → ${shareText(is)}`,
      detail: `${pointsText(is - was)} percentage points`,
    });
    const total = [at(now.total, node), at(before.total, node)] as const;
    const self = [at(now.self, node), at(before.self, node)] as const;
    return { name, module, lines: [line('Total', total), line('Self', self)] };
  }
  const all = at(tree.width.total, ROOT);
  const [total, self] = [at(tree.width.total, node), at(tree.width.self, node)];
  const share = (amount: number, whole: number): string => shareText(whole > 0 ? amount / whole : 0);
  const ofZoomed = zoomed === ROOT ? '' : `, ${share(total, at(tree.width.total, zoomed))} of what is zoomed`;
  return {
    name,
    module,
    lines: [
      { label: 'Total', value: amountText(total), detail: `${share(total, all)} of all${ofZoomed}` },
      { label: 'Self', value: amountText(self), detail: `${share(self, all)} of all` },
    ],
  };
}

/** As a sentence, for those who hear it. */
export function spokenReading({ name, module, lines }: FrameReading): string {
  const amounts = lines.map(({ label, value, detail }) => `${label} ${value}, ${detail}`);
  return [name, module, ...amounts].filter((part) => part !== '').join('. ');
}
