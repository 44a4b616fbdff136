/** The plot area inside a chart, shared by the canvas and its overlays (crosshair, selection). */
export const plot = { left: 58, right: 6, top: 10, bottom: 20 } as const;

export interface Span {
  from: number;
  to: number;
}

export interface Size {
  width: number;
  height: number;
}

/** Whether moving from one span to the other shifts a chart of this width by at least a pixel. */
export function movesPixel(shown: Span, next: Span, width: number): boolean {
  const length = next.to - next.from;
  if (shown.to - shown.from !== length) return true;
  const moved = Math.abs(next.to - shown.to);
  return moved > 0 && moved * width >= length;
}

export function timeToX(time: number, span: Span, width: number): number {
  const inner = width - plot.left - plot.right;
  return plot.left + ((time - span.from) / (span.to - span.from)) * inner;
}

/** The time under a pixel, clamped to the plot. */
export function xToTime(x: number, span: Span, width: number): number {
  const inner = Math.max(1, width - plot.left - plot.right);
  const share = Math.min(1, Math.max(0, (x - plot.left) / inner));
  return span.from + share * (span.to - span.from);
}
