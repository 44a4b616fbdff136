/**
 * A chart on a canvas of uPlot, loaded lazily by `composables/useChart`. uPlot has the canvas and the axes. Shapes are drawn
 * in its hook: its own lines would all need the same times, with nulls where one has no point, and stacks need more.
 */
import UPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { plot, type Size } from './geometry';
import { drawShapes } from './shapes';
import type { Picture } from './timeline';

export class Chart {
  readonly #plot: UPlot;
  #picture: Picture;

  /** Draws at once, as does `draw`. */
  constructor(element: HTMLElement, picture: Picture, size: Size) {
    this.#picture = picture;
    const axis: UPlot.Axis = {
      stroke: () => this.#picture.ink,
      font: `10px ${getComputedStyle(element).fontFamily}`,
      ticks: { show: false },
    };
    const options: UPlot.Options = {
      ...size,
      padding: [plot.top, plot.right, 0, 0],
      cursor: { show: false },
      legend: { show: false },
      select: { show: false, left: 0, top: 0, width: 0, height: 0 },
      scales: {
        x: { time: false, range: () => [this.#picture.span.from, this.#picture.span.to] },
        y: { range: () => [this.#picture.low, this.#picture.high] },
      },
      axes: [
        {
          ...axis,
          size: plot.bottom,
          gap: 6,
          grid: { show: false },
          border: { show: true, stroke: () => this.#picture.grid, width: 1 },
          splits: () => this.#picture.times.map(({ time }) => time),
          values: () => this.#picture.times.map(({ label }) => label),
        },
        {
          ...axis,
          size: plot.left,
          gap: 8,
          // 60 %, in hexadecimal.
          grid: { stroke: () => `${this.#picture.grid}99`, width: 1 },
          splits: () => this.#picture.levels.map(({ value }) => value),
          values: () => this.#picture.levels.map(({ label }) => label),
        },
      ],
      series: [{}],
      hooks: {
        draw: [
          ({ ctx, bbox, width }) => {
            const { shapes, span, low, high } = this.#picture;
            drawShapes(ctx, shapes, { ...bbox, span, low, high, ratio: ctx.canvas.width / width });
          },
        ],
      },
    };
    this.#plot = new UPlot(options, [[]], (created, init) => {
      element.append(created.root);
      created.batch(init);
    });
  }

  draw(picture: Picture, size: Size): void {
    this.#picture = picture;
    this.#plot.batch((chart: UPlot) => {
      // Also what has not changed would be cleared.
      if (size.width !== chart.width || size.height !== chart.height) chart.setSize(size);
      chart.redraw(true, true);
    });
  }

  destroy(): void {
    this.#plot.destroy();
  }
}
