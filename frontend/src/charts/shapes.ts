/** Lines and areas over time, and how they are drawn on a canvas. */
import type { Span } from './geometry';

export interface Shape {
  name: string;
  colour: string;
  times: ArrayLike<number>;
  /** NaN where nothing is known. */
  values: ArrayLike<number>;
  /** Points more milliseconds apart are not joined. */
  gap: number;
  /** What the area reaches down to, and how opaque it is. */
  area?: { base: ArrayLike<number>; opacity: number };
  /** In pixels of the page. */
  line?: { width: number; dash: readonly number[] };
  /** Whether each point is marked, not only those that are joined to none. */
  dots?: boolean;
}

/** A rectangle of a canvas, in its own pixels, and what it shows. */
export interface Plot {
  left: number;
  top: number;
  width: number;
  height: number;
  span: Span;
  low: number;
  high: number;
  /** Pixels of the canvas for one of the page. */
  ratio: number;
}

export type Pen = Pick<CanvasPath, 'moveTo' | 'lineTo' | 'closePath' | 'arc'>;

const DOT_RADIUS = 2.5;

/** Indices of the first and the last point of all that are joined. */
export function stretches({ times, values, area, gap }: Shape): (readonly [first: number, last: number])[] {
  const base = area?.base ?? values;
  const found: [number, number][] = [];
  let current: [number, number] | null = null;
  for (let i = 0; i < times.length; i += 1) {
    if (Number.isNaN(values[i] ?? NaN) || Number.isNaN(base[i] ?? NaN)) {
      current = null;
    } else if (current !== null && (times[i] ?? NaN) - (times[i - 1] ?? NaN) <= gap) {
      current[1] = i;
    } else {
      current = [i, i];
      found.push(current);
    }
  }
  return found;
}

/** The paths of a shape on a plot: what is filled, what is stroked, and the marks of points. */
export function pathsOf(shape: Shape, plot: Plot) {
  const { times, values, area, dots } = shape;
  const { left, top, width, height, span, low, high, ratio } = plot;
  const joined = stretches(shape);
  const across = width / (span.to - span.from);
  const up = height / (high - low);
  const x = (i: number): number => left + ((times[i] ?? NaN) - span.from) * across;
  const y = (value: number | undefined): number => top + (high - (value ?? NaN)) * up;

  return {
    area(pen: Pen): void {
      if (area === undefined) return;
      for (const [first, last] of joined) {
        pen.moveTo(x(first), y(area.base[first]));
        for (let i = first; i <= last; i += 1) pen.lineTo(x(i), y(values[i]));
        for (let i = last; i > first; i -= 1) pen.lineTo(x(i), y(area.base[i]));
        pen.closePath();
      }
    },
    line(pen: Pen): void {
      for (const [first, last] of joined) {
        pen.moveTo(x(first), y(values[first]));
        for (let i = first + 1; i <= last; i += 1) pen.lineTo(x(i), y(values[i]));
      }
    },
    dots(pen: Pen): void {
      for (const [first, last] of joined) {
        if (dots !== true && first !== last) continue;
        for (let i = first; i <= last; i += 1) {
          pen.moveTo(x(i), y(values[i]));
          pen.arc(x(i), y(values[i]), DOT_RADIUS * ratio, 0, 2 * Math.PI);
        }
      }
    },
  };
}

function drawShape(context: CanvasRenderingContext2D, shape: Shape, plot: Plot): void {
  const { colour, area, line } = shape;
  const paths = pathsOf(shape, plot);
  context.fillStyle = colour;
  if (area !== undefined) {
    context.beginPath();
    paths.area(context);
    context.globalAlpha = area.opacity;
    context.fill();
    context.globalAlpha = 1;
  }
  if (line !== undefined) {
    context.beginPath();
    paths.line(context);
    context.strokeStyle = colour;
    context.lineWidth = line.width * plot.ratio;
    context.setLineDash(line.dash.map((length) => length * plot.ratio));
    context.stroke();
    context.beginPath();
    paths.dots(context);
    context.fill();
  }
}

/** From back to front. */
export function drawShapes(context: CanvasRenderingContext2D, shapes: readonly Shape[], plot: Plot): void {
  const { left, top, width, height, ratio } = plot;
  // Lines at the edges are whole, and what left the plot is not over the labels.
  const edge = DOT_RADIUS * ratio;
  context.save();
  context.beginPath();
  context.rect(left, top - edge, width + edge, height + 2 * edge);
  context.clip();
  context.lineJoin = 'bevel';
  for (const shape of shapes) drawShape(context, shape, plot);
  context.restore();
}
