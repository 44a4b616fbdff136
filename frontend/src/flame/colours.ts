/** Colours of frames: of their module, or of how much their share changed. */
import type { Theme } from '@/charts/palette';
import { at, functionOf, ROOT, textHash, type FlameTree, type ProfileFunction } from './tree';

type Rgb = readonly [number, number, number];

export interface Fill {
  fill: string;
  text: string;
}

interface Hues {
  modules: readonly Rgb[];
  kernel: Rgb;
  generated: Rgb;
  process: Rgb;
  muted: Rgb;
  /** Of a share that stayed, fell or rose. */
  same: Rgb;
  less: Rgb;
  more: Rgb;
  text: readonly [onDark: string, onLight: string, onMuted: string];
}

/** Red is not among the modules': it is the kernel's, and that of more. */
const hues: Record<Theme, Hues> = {
  dark: {
    modules: [
      [37, 84, 158],
      [23, 111, 78],
      [98, 62, 165],
      [14, 104, 128],
      [96, 102, 28],
      [148, 48, 120],
      [68, 78, 176],
      [116, 88, 76],
      [62, 108, 42],
    ],
    kernel: [163, 74, 24],
    generated: [133, 99, 8],
    process: [66, 82, 108],
    muted: [45, 58, 79],
    same: [63, 77, 99],
    less: [59, 130, 246],
    more: [226, 68, 62],
    text: ['#ffffff', '#020617', '#b6c2d4'],
  },
  light: {
    modules: [
      [158, 201, 252],
      [158, 226, 189],
      [208, 190, 252],
      [141, 218, 233],
      [216, 220, 140],
      [246, 180, 224],
      [178, 189, 251],
      [228, 208, 192],
      [190, 228, 150],
    ],
    kernel: [253, 191, 138],
    generated: [246, 214, 110],
    process: [203, 213, 225],
    muted: [226, 232, 240],
    same: [214, 221, 231],
    less: [74, 136, 240],
    more: [226, 75, 64],
    text: ['#ffffff', '#020617', '#4b586e'],
  },
};

const luminance = ([r, g, b]: Rgb): number => {
  const linear = [r, g, b].map((channel) => {
    const share = channel / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * at(linear, 0) + 0.7152 * at(linear, 1) + 0.0722 * at(linear, 2);
};
const mix = (from: Rgb, to: Rgb, share: number): Rgb => [
  Math.round(from[0] + (to[0] - from[0]) * share),
  Math.round(from[1] + (to[1] - from[1]) * share),
  Math.round(from[2] + (to[2] - from[2]) * share),
];
const css = ([r, g, b]: Rgb): string => `rgb(${r.toString()}, ${g.toString()}, ${b.toString()})`;

/** Where text in white and in near-black are told apart equally well. */
const BRIGHT = 0.183;

function filled(colour: Rgb, theme: Theme): Fill {
  const [onDark, onLight] = hues[theme].text;
  return { fill: css(colour), text: luminance(colour) > BRIGHT ? onLight : onDark };
}

/** What is not a function, and has no colour of its own. */
const isPlaceholder = ({ name }: ProfileFunction): boolean => /^\[(cut|other|unknown)\]$/.test(name);
/** Runnable, without a CPU. */
const isQueued = ({ name, module }: ProfileFunction): boolean => module === '' && name.startsWith('[waiting');

/** What is told apart from modules by a hue of its own. */
const isModule = (fn: ProfileFunction): boolean =>
  !isPlaceholder(fn) && fn.module !== '' && !/^\[(process|kernel.*|generated)\]$/.test(fn.module);

/** Which hue each module has: always the same one, unless a larger module of the tree has it. */
type Hued = ReadonlyMap<string, number>;

function huedModules(tree: FlameTree, count: number): Hued {
  const sums = new Map<string, number>();
  for (let n = 1; n < tree.fn.length; n += 1) {
    const fn = functionOf(tree, n);
    if (fn !== null && isModule(fn)) sums.set(fn.module, (sums.get(fn.module) ?? 0) + at(tree.width.self, n));
  }
  const all = at(tree.width.total, ROOT);
  // In steps, so that what grows a little does not take the hue of another.
  const size = ([, sum]: [string, number]): number => Math.round(Math.log2(Math.max(1e-6, sum / all)));
  const largest = [...sums].toSorted((a, b) => size(b) - size(a) || (a[0] < b[0] ? -1 : 1));
  const hued = new Map<string, number>();
  let taken = new Set<number>();
  for (const [module] of largest) {
    if (taken.size === count) taken = new Set();
    let hue = textHash(module) % count;
    while (taken.has(hue)) hue = (hue + 1) % count;
    taken.add(hue);
    hued.set(module, hue);
  }
  return hued;
}

function moduleHue(fn: ProfileFunction, theme: Theme, hued: Hued): Rgb {
  const { modules, kernel, generated, process, muted } = hues[theme];
  if (fn.module === '[process]') return process;
  if (isQueued(fn)) return generated;
  if (isPlaceholder(fn) || fn.module === '') return muted;
  if (fn.module.startsWith('[kernel')) return kernel;
  if (fn.module === '[generated]') return generated;
  return modules[hued.get(fn.module) ?? 0] ?? muted;
}

/** Neighbours of one module are told apart by small differences in brightness. */
const SHADES = 5;
const SHADE = 0.035;

function shaded(hue: Rgb, shade: number, theme: Theme): Fill {
  const difference = (shade - (SHADES - 1) / 2) * SHADE;
  const towards: Rgb = difference < 0 ? [0, 0, 0] : [255, 255, 255];
  return filled(mix(hue, towards, Math.abs(difference)), theme);
}

/** Steps on either side of the colours of change. */
const STEPS = 12;

/**
 * How much a share changed, -1 (all of it is gone) to 1 (all of it is new); within the noise of sampling it is less.
 * The error of a share is that of a count: its square root.
 */
export function changeOf(now: number, before: number, samples: readonly [number, number]): number {
  const sum = now + before;
  if (sum <= 0) return 0;
  const error = Math.sqrt(now / Math.max(1, samples[0]) + before / Math.max(1, samples[1]));
  const clarity = Math.min(1, Math.abs(now - before) / (4 * error));
  return ((now - before) / sum) * clarity * clarity;
}

function changeHue(change: number, theme: Theme): Rgb {
  const { same, less, more } = hues[theme];
  // A fifth more can be told from the same.
  return mix(same, change < 0 ? less : more, Math.sqrt(Math.min(1, Math.abs(change))));
}

export const changeColour = (change: number, theme: Theme): string => css(changeHue(change, theme));

/** The fills, and which one each frame has. */
export interface Painted {
  fills: readonly Fill[];
  fillOf: Uint16Array;
}

export function paintedFrames(tree: FlameTree, theme: Theme): Painted {
  const size = tree.fn.length;
  const { text, muted } = hues[theme];
  const neutral: Fill = { fill: css(muted), text: text[2] };
  if (tree.compared !== null) {
    const { now, before, samples } = tree.compared;
    const fills = Array.from({ length: 2 * STEPS + 1 }, (_, i) =>
      filled(changeHue((i - STEPS) / STEPS, theme), theme),
    );
    const fillOf = new Uint16Array(size).fill(STEPS);
    for (let n = 1; n < size; n += 1)
      fillOf[n] = STEPS + Math.round(STEPS * changeOf(at(now.total, n), at(before.total, n), samples));
    return { fills, fillOf };
  }
  const hued = huedModules(tree, hues[theme].modules.length);
  const fills: Fill[] = [neutral];
  /** By hue: the place of its first shade. */
  const known = new Map<Rgb, number>([[muted, 0]]);
  const ofFunction = tree.functions.map((fn, i) => {
    const hue = moduleHue(fn, theme, hued);
    let first = known.get(hue);
    if (first === undefined) {
      first = fills.length;
      known.set(hue, first);
      for (let shade = 0; shade < SHADES; shade += 1) fills.push(shaded(hue, shade, theme));
    }
    return first === 0 ? 0 : first + (at(tree.functionHashes, i) % SHADES);
  });
  const fillOf = Uint16Array.from(tree.fn, (fn, n) => (n === ROOT ? 0 : (ofFunction[fn] ?? 0)));
  return { fills, fillOf };
}

export interface ModuleShare {
  /** One of its functions. */
  fn: ProfileFunction;
  colour: string;
  /** Without callees. */
  self: number;
}

/** Modules with the most of their own, for a legend. */
export function modulesOf(tree: FlameTree, theme: Theme, limit: number): ModuleShare[] {
  const hued = huedModules(tree, hues[theme].modules.length);
  const sums = new Map<string, ModuleShare>();
  for (let n = 1; n < tree.fn.length; n += 1) {
    const fn = functionOf(tree, n);
    const self = at(tree.width.self, n);
    if (fn === null || self <= 0 || isPlaceholder(fn) || fn.module === '[process]') continue;
    const key = isQueued(fn) ? fn.name : fn.module;
    const known = sums.get(key);
    if (known === undefined) sums.set(key, { fn, colour: css(moduleHue(fn, theme, hued)), self });
    else known.self += self;
  }
  return [...sums.values()].toSorted((a, b) => b.self - a.self).slice(0, limit);
}
