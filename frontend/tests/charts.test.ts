import { describe, expect, it } from 'vitest';
import { timeToX, xToTime } from '@/charts/geometry';
import { HEAT_STEPS, heatColour, heatPixels, heatStep } from '@/charts/palette';
import { niceScale } from '@/charts/scale';
import { sparkPath } from '@/charts/sparkline';
import { pathsOf, stretches, type Pen, type Plot, type Shape } from '@/charts/shapes';
import { timeline, type TimelineInput } from '@/charts/timeline';

const input: TimelineInput = {
  series: [{ name: 'User', colour: 'blue', times: [1000, 2000], values: [10, 20] }],
  unit: 'percent',
  span: { from: 0, to: 60_000 },
  theme: 'dark',
  interval: 1000,
  width: 464,
};

const drawn = (part: Partial<TimelineInput> = {}) => timeline({ ...input, ...part });
const named = (name: string, part: Partial<TimelineInput>) =>
  drawn(part).shapes.find((shape) => shape.name === name)!;

describe('the heat scale as pixels', () => {
  it('stores the colours of the scale as ImageData does', () => {
    const bytes = new Uint8Array(heatPixels('dark').buffer);
    for (const step of [0, 100, HEAT_STEPS - 1]) {
      const [r, g, b] = heatColour(step / (HEAT_STEPS - 1), 'dark');
      expect([...bytes.slice(step * 4, step * 4 + 4)]).toEqual([r, g, b, 255]);
    }
    expect([-1, 0, 0.5, 1, 7].map(heatStep)).toEqual([0, 0, 128, 255, 255]);
  });
});

describe('shapes', () => {
  const shape = (part: Partial<Shape>): Shape => ({
    name: 'User',
    colour: '#000000',
    times: [0, 1000],
    values: [1, 2],
    gap: 2500,
    line: { width: 1, dash: [] },
    ...part,
  });

  /** A pixel of width is 100 ms, one of height a unit, from 0 at the bottom to 10. */
  const plot: Plot = {
    left: 5,
    top: 2,
    width: 100,
    height: 10,
    span: { from: 0, to: 10_000 },
    low: 0,
    high: 10,
    ratio: 1,
  };

  /** What a pen is told, as an SVG path; a dot is `o`. */
  function traced(part: Partial<Shape>, path: 'line' | 'area' | 'dots'): string {
    let text = '';
    const pen: Pen = {
      moveTo: (x, y) => (text += `M${x.toString()} ${y.toString()}`),
      lineTo: (x, y) => (text += `L${x.toString()} ${y.toString()}`),
      arc: (x, y) => (text += `o${x.toString()} ${y.toString()}`),
      closePath: () => (text += 'z'),
    };
    pathsOf(shape(part), plot)[path](pen);
    return text;
  }

  it('have a gap where there was no data', () => {
    expect(stretches(shape({ times: [0, 1000, 9000, 10_000], values: [1, 2, 3, 4] }))).toEqual([
      [0, 1],
      [2, 3],
    ]);
  });

  it('bridge a late tick', () => {
    expect(stretches(shape({ times: [0, 1900, 4400], values: [1, 2, 3] }))).toEqual([[0, 2]]);
  });

  it('have a gap at an absent value, not zero', () => {
    const values = [NaN, 1, NaN, 2, 3];
    expect(stretches(shape({ times: [0, 1000, 2000, 3000, 4000], values }))).toEqual([
      [1, 1],
      [3, 4],
    ]);
  });

  it('have a line from point to point, broken at gaps', () => {
    const times = [0, 1000, 5000, 6000];
    expect(traced({ times, values: [0, 10, 5, 5] }, 'line')).toBe('M5 12L15 2M55 7L65 7');
  });

  it('are filled down to their base, and not across gaps', () => {
    const times = [0, 1000, 5000, 6000];
    const area = { base: [0, 1, 2, 3], opacity: 1 };
    expect(traced({ times, values: [4, 4, 4, 4], area }, 'area')).toBe(
      'M5 12L5 8L15 8L15 11zM55 10L55 8L65 8L65 9z',
    );
    // Where one edge of a band is not known, there is none.
    const band = { times: [0, 1000, 2000], values: [4, 4, 4], area: { base: [0, NaN, 1], opacity: 1 } };
    expect(stretches(shape(band))).toEqual([
      [0, 0],
      [2, 2],
    ]);
  });

  it('mark a point that is joined to none, which has no line, and all where they are asked to', () => {
    const part = { times: [0, 1000, 9000], values: [0, 0, 5] };
    expect(traced(part, 'dots')).toBe('M95 7o95 7');
    expect(traced({ ...part, dots: true }, 'dots')).toBe('M5 12o5 12M15 12o15 12M95 7o95 7');
  });
});

describe('timeline', () => {
  it('spans exactly the requested time, with or without data', () => {
    expect(drawn().span).toEqual({ from: 0, to: 60_000 });
    const { low, high, shapes } = drawn({ series: [] });
    expect([low, shapes]).toEqual([0, []]);
    expect(high).toBeGreaterThan(0);
  });

  it('labels whole times below the axis', () => {
    const { times } = drawn();
    expect(times.length).toBeGreaterThan(2);
    for (const { time, label } of times.slice(1)) {
      expect(time % 10_000).toBe(0);
      expect(label).toMatch(/^..:..:.0$/);
    }
  });

  it('labels whole steps from the bottom to the top', () => {
    expect(drawn({ max: 100 }).levels).toEqual([
      { value: 0, label: '0 %' },
      { value: 50, label: '50 %' },
      { value: 100, label: '100 %' },
    ]);
    const thirds = drawn({ unit: 'ratio', max: 0.6 }).levels;
    expect(thirds.map(({ label }) => label)).toEqual(['0 %', '20 %', '40 %', '60 %']);
    const GIB = 2 ** 30;
    const labels = (gib: number) =>
      drawn({ unit: 'bytes', max: gib * GIB }).levels.map(({ value, label }) => [value / GIB, label]);
    expect(labels(62)).toEqual([
      [0, '0 B'],
      [32, '32 GiB'],
      [62, '62 GiB'],
    ]);
    // Too near to the last step to be told from it.
    expect(labels(35).at(-1)).toEqual([35, '']);
  });

  it('has zero in the middle when there are negative values', () => {
    const series = [{ ...input.series[0]!, values: [3, -5] }];
    const { low, high, levels } = drawn({ series, unit: 'count' });
    expect([low, high]).toEqual([-6, 6]);
    expect(levels.map(({ label }) => label)).toEqual(['-6', '-4', '-2', '0', '2', '4', '6']);
  });

  it('draws the first series in front', () => {
    const series = ['a', 'b'].map((name) => ({ ...input.series[0]!, name }));
    for (const stacked of [false, true])
      expect(drawn({ series, stacked }).shapes.map(({ name }) => name)).toEqual(['b', 'a']);
  });

  it('breaks a line after two and a half intervals', () => {
    expect(named('User', { interval: 5000 }).gap).toBe(12_500);
  });

  it('marks points where they can be told apart', () => {
    const dots = (times: number[], stacked = false) =>
      named('User', { stacked, series: [{ ...input.series[0]!, times, values: times }] }).dots;
    expect(dots([0, 5000, 10_000])).toBe(true);
    expect(dots([0, 1000, 2000])).toBe(false);
    expect(dots([0, 5000, 10_000], true)).toBe(false);
    expect(dots([])).toBe(false);
  });

  it('tells lines apart without colour, in the colours of the theme', () => {
    const series = [{ ...input.series[0]!, dashed: true }];
    expect(named('User', { series })).toMatchObject({
      colour: '#3b82f6',
      line: { width: 1.5, dash: [4, 3] },
    });
    expect(named('User', { theme: 'light' })).toMatchObject({ colour: '#2563eb', line: { dash: [] } });
  });

  it('fills an area down to zero', () => {
    expect(named('User', {}).area).toBeUndefined();
    const { area } = named('User', { series: [{ ...input.series[0]!, area: true }] });
    expect(Array.from(area!.base)).toEqual([0, 0]);
  });

  it('omits empty series of a stack, except the bottom one', () => {
    const series = [
      { ...input.series[0]!, name: 'a', values: [0, 0] },
      { ...input.series[0]!, name: 'b', values: [0, 0.1] },
      { ...input.series[0]!, name: 'c', values: [0, NaN] },
    ];
    const names = (stacked: boolean) => drawn({ series, stacked }).shapes.map(({ name }) => name);
    expect(names(true)).toEqual(['b', 'a']);
    expect(names(false)).toEqual(['c', 'b', 'a']);
  });

  it('stacks each series on the sum of those before it, and scales to the whole', () => {
    const series = [
      { ...input.series[0]!, name: 'a', values: [10, 20] },
      { ...input.series[0]!, name: 'b', values: [NaN, 5] },
      { ...input.series[0]!, name: 'c', values: [30, -1] },
    ];
    expect(drawn({ series }).high).toBe(30);
    expect(drawn({ series, stacked: true }).high).toBeGreaterThanOrEqual(40);
    const edges = ['a', 'b', 'c'].map((name) => {
      const { values, area } = named(name, { series, stacked: true });
      return [Array.from(area!.base), Array.from(values)];
    });
    expect(edges).toEqual([
      [
        [0, 0],
        [10, 20],
      ],
      [
        [10, 20],
        [NaN, 25],
      ],
      [
        [10, 25],
        [40, 24],
      ],
    ]);
  });

  it('keeps a fixed maximum', () => {
    expect(drawn({ max: 100 }).high).toBe(100);
  });

  it('draws min and max as a band behind all lines, and scales to it', () => {
    const [one] = input.series;
    const series = [{ ...one!, low: [5, 6], high: [90, 70] }];
    const { shapes, high } = drawn({ series: [...series, { ...one!, name: 'System' }] });
    expect(shapes.map(({ name, line }) => [name, line !== undefined])).toEqual([
      ['User', false],
      ['System', true],
      ['User', true],
    ]);
    expect(shapes[0]).toMatchObject({ values: [90, 70], area: { base: [5, 6] } });
    expect(high).toBeGreaterThanOrEqual(90);
    // Extremes of parts do not add up to those of the whole.
    expect(drawn({ series, stacked: true }).shapes).toHaveLength(1);
  });

  it('is pure', () => {
    expect(JSON.stringify(drawn())).toBe(JSON.stringify(drawn()));
  });
});

describe('niceScale', () => {
  it('fits the peak in round steps', () => {
    for (const peak of [0.03, 1, 7, 12, 99, 101, 12_345]) {
      const { max, step } = niceScale(peak, 'count');
      expect(max).toBeGreaterThanOrEqual(peak * 0.999);
      expect(max / step).toBeCloseTo(Math.round(max / step), 6);
      expect(max / step).toBeLessThanOrEqual(5);
    }
  });

  it('doubles steps for bytes', () => {
    expect(niceScale(23.5 * 2 ** 30, 'bytes').step).toBe(8 * 2 ** 30);
    expect(niceScale(1500, 'bytes/s').step).toBe(512);
  });

  it('has a scale without data', () => {
    expect(niceScale(0, 'count').max).toBe(1);
    expect(niceScale(NaN, 'count').max).toBe(1);
  });
});

describe('the crosshair', () => {
  it('maps time to pixels and back', () => {
    const span = { from: 1000, to: 61_000 };
    expect(xToTime(timeToX(31_000, span, 600), span, 600)).toBeCloseTo(31_000, 3);
    expect(xToTime(-50, span, 600)).toBe(1000);
    expect(xToTime(9999, span, 600)).toBe(61_000);
  });
});

describe('sparkline and heat colours', () => {
  it('breaks a sparkline at an absent value', () => {
    const spark = (times: number[], values: number[]) => sparkPath({ times, values, interval: 1 }, 100, 20);
    expect(spark([1, 2, 3, 4, 5], [1, 2, NaN, 3, 4]).match(/M/g)).toHaveLength(2);
    expect(spark([1], [1])).toBe('');
    // A suspend of an hour is as long in the picture.
    expect(spark([0, 1, 3600, 3601], [4, 4, 4, 4])).toBe('M0.0 1.0L0.0 1.0M100.0 1.0L100.0 1.0');
    expect(spark([0, 10, 20], [4, 4, 4]).match(/M/g)).toHaveLength(3);
  });

  it('keeps the extremes of many samples on a pixel, and breaks between them', () => {
    const times = Array.from({ length: 1001 }, (_, i) => i);
    const values = times.map((i) => (i === 503 ? 9 : i === 507 ? 0 : 4));
    const dense = sparkPath({ times, values, interval: 1 }, 100, 12);
    expect(dense.match(/[ML]/g)?.length).toBe(102);
    expect(dense).toContain('L50.3 1.0L50.7 11.0L');
    const broken = values.map((value, i) => (i > 500 && i < 503 ? NaN : value));
    expect(sparkPath({ times, values: broken, interval: 1 }, 100, 12).match(/M/g)).toHaveLength(2);
  });

  it('colours from idle to saturated, and clamps', () => {
    expect(heatColour(-1, 'dark')).toEqual(heatColour(0, 'dark'));
    expect(heatColour(2, 'light')).toEqual(heatColour(1, 'light'));
    expect(heatColour(0.5, 'dark')).toEqual([59, 130, 246]);
  });
});
