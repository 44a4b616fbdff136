/** Paints the frames of a view onto a canvas. */
import type { Painted } from './colours';
import { eachVisible, type View } from './layout';
import { at, functionOf, type FlameTree } from './tree';

export const ROW = 20;
const GAP = 1;
const PADDING = 4;
/** Narrower frames have no text. */
const MIN_TEXT = 24;
const FADED = 0.32;
const FONT = '11.5px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif';

export interface Scene {
  tree: FlameTree;
  painted: Painted;
  view: View;
  /** By function: those that do not match are faded; null if nothing is searched. */
  matches: Uint8Array | null;
  /** The frame that has the width. */
  zoomed: number;
  rootLabel: string;
  colours: { merged: string; faded: string };
}

/** What is seen of all rows. */
export interface Window {
  width: number;
  height: number;
  /** The first pixel from the top of all rows. */
  top: number;
  /** The height of all rows. */
  whole: number;
  /** Whether callers are below their callees. */
  isFlame: boolean;
}

/** The upper edge of a row on the canvas. */
export const rowTop = ({ top, whole, isFlame }: Window, depth: number): number =>
  (isFlame ? whole - (depth + 1) * ROW : depth * ROW) - top;

export const depthAt = ({ top, whole, isFlame }: Window, y: number): number =>
  Math.floor((isFlame ? whole - (y + top) : y + top) / ROW);

/** Widths of texts, which do not change; measured when a text is first seen. */
const widths = new Map<string, number>();
const MAX_WIDTHS = 50_000;

function widthOf(context: CanvasRenderingContext2D, text: string): number {
  let width = widths.get(text);
  if (width === undefined) {
    width = context.measureText(text).width;
    if (widths.size > MAX_WIDTHS) widths.clear();
    widths.set(text, width);
  }
  return width;
}

/** As much of it as there is room for, with an ellipsis; empty if that would be next to nothing. */
export function clipped(text: string, room: number, width: (text: string) => number): string {
  const whole = width(text);
  if (whole <= room) return text;
  let count = Math.floor((text.length * room) / whole);
  let short = `${text.slice(0, count)}…`;
  while (count > 0 && width(short) > room) {
    count -= 1;
    short = `${text.slice(0, count)}…`;
  }
  return count < 2 ? '' : short;
}

export function paint(context: CanvasRenderingContext2D, scene: Scene, window: Window): void {
  const { tree, painted, matches, colours } = scene;
  context.clearRect(0, 0, window.width, window.height);
  context.font = FONT;
  context.textBaseline = 'middle';
  const measure = (text: string): number => widthOf(context, text);
  const isSeen = (y: number): boolean => y > -ROW && y < window.height;

  eachVisible(tree, scene.view, window.width, {
    frame: (node, depth, x, width) => {
      const y = rowTop(window, depth);
      if (!isSeen(y)) return;
      const isFaded = matches !== null && node > 0 && at(matches, at(tree.fn, node)) === 0;
      const { fill, text } = painted.fills[at(painted.fillOf, node)] ?? { fill: '#888', text: '#000' };
      context.globalAlpha = isFaded ? FADED : depth < at(tree.depth, scene.zoomed) ? 0.6 : 1;
      context.fillStyle = fill;
      context.fillRect(x, y, Math.max(0.75, width - GAP), ROW - GAP);
      if (width >= MIN_TEXT) {
        context.globalAlpha = 1;
        const label = functionOf(tree, node)?.name ?? scene.rootLabel;
        const shown = clipped(label, width - 2 * PADDING, measure);
        context.fillStyle = isFaded ? colours.faded : text;
        if (shown !== '') context.fillText(shown, x + PADDING, y + (ROW - GAP) / 2 + 0.5);
      }
      context.globalAlpha = 1;
    },
    merged: (_, depth, x, width) => {
      const y = rowTop(window, depth);
      if (!isSeen(y)) return;
      context.globalAlpha = matches === null ? 0.7 : FADED;
      context.fillStyle = colours.merged;
      context.fillRect(x, y, Math.max(0.75, width - GAP), ROW - GAP);
      context.globalAlpha = 1;
    },
  });
}
