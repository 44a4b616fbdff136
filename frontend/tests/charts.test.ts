import { describe, expect, it } from 'vitest';
import { timeToX, xToTime } from '@/charts/geometry';
import { HEAT_STEPS, heatColour, heatPixels, heatStep } from '@/charts/palette';
import { niceScale } from '@/charts/scale';
import { sparkPath } from '@/charts/sparkline';
import { points, timelineOption, type TimelineInput } from '@/charts/timeline';

const input: TimelineInput = {
  series: [{ name: 'User', colour: 'blue', times: [1000, 2000], values: [10, 20] }],
  unit: 'percent',
  span: { from: 0, to: 60_000 },
  theme: 'dark',
  interval: 1000,
  width: 464,
};

interface Drawn {
  xAxis: {
    min: number;
    max: number;
    axisLabel: { formatter: (time: number) => string; customValues: number[] };
  };
  yAxis: { max: number };
  series: { id: string; data: Float64Array; stack?: string; areaStyle?: object }[];
}
const drawn = (part: Partial<TimelineInput> = {}) =>
  timelineOption({ ...input, ...part }) as unknown as Drawn;

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

describe('points', () => {
  it('draws a gap where there was no data', () => {
    expect([...points([0, 1000, 9000], [1, 2, 3], 1000)]).toEqual([0, 1, 1000, 2, 2000, NaN, 9000, 3]);
  });

  it('bridges a late tick', () => {
    expect(points([0, 1900], [1, 2], 1000)).toHaveLength(4);
  });

  it('draws an absent value as a gap, not as zero', () => {
    expect([...points([0, 1000], [1, NaN], 1000)]).toEqual([0, 1, 1000, NaN]);
  });
});

describe('timelineOption', () => {
  it('spans exactly the requested time, with or without data', () => {
    expect(drawn().xAxis).toMatchObject({ min: 0, max: 60_000 });
    expect(drawn({ series: [] }).yAxis.max).toBeGreaterThan(0);
  });

  it('labels whole times below the axis', () => {
    const { formatter, customValues } = drawn().xAxis.axisLabel;
    expect(customValues).toEqual(
      [0, 10_000, 20_000, 30_000, 40_000, 50_000].filter((time) => customValues.includes(time)),
    );
    expect(formatter(customValues[1]!)).toMatch(/^..:..:.0$/);
    expect(formatter(123)).toBe('');
  });

  it('marks points where they can be told apart, and a single one', () => {
    const series = (interval: number, times: number[]) =>
      drawn({ interval, series: [{ name: 'a', colour: 'blue', times, values: times }] }).series[0];
    expect(series(5000, [0, 5000])).toMatchObject({ showSymbol: true });
    expect(series(1000, [0, 1000])).toMatchObject({ showSymbol: false });
    expect(series(1000, [0])).toMatchObject({ showSymbol: true });
  });

  it('omits empty series of a stack, except the bottom one', () => {
    const kinds = [
      { ...input.series[0]!, name: 'a', values: [0, 0] },
      { ...input.series[0]!, name: 'b', values: [0, 0.1] },
      { ...input.series[0]!, name: 'c', values: [0, NaN] },
    ];
    const names = (stacked: boolean) => drawn({ series: kinds, stacked }).series.map(({ id }) => id);
    expect(names(true)).toEqual(['line:a', 'line:b']);
    expect(names(false)).toEqual(['line:a', 'line:b', 'line:c']);
  });

  it('scales to the sum of stacked series', () => {
    const two = [
      { ...input.series[0]!, name: 'a' },
      { ...input.series[0]!, name: 'b' },
    ];
    expect(drawn({ series: two }).yAxis.max).toBeLessThan(40);
    expect(drawn({ series: two, stacked: true }).yAxis.max).toBeGreaterThanOrEqual(40);
    expect(drawn({ series: two, stacked: true }).series.every((s) => s.stack === 'total')).toBe(true);
  });

  it('keeps a fixed maximum', () => {
    expect(drawn({ max: 100 }).yAxis.max).toBe(100);
  });

  it('draws min and max as a band and scales to it', () => {
    const [one] = input.series;
    const option = drawn({ series: [{ ...one!, low: [5, 6], high: [90, 70] }] });
    expect(option.series.map((s) => s.id)).toEqual(['low:User', 'high:User', 'line:User']);
    expect([...(option.series[1]?.data ?? [])]).toEqual([1000, 85, 2000, 64]);
    expect(option.yAxis.max).toBeGreaterThanOrEqual(90);
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

  it('colours from idle to saturated, and clamps', () => {
    expect(heatColour(-1, 'dark')).toEqual(heatColour(0, 'dark'));
    expect(heatColour(2, 'light')).toEqual(heatColour(1, 'light'));
    expect(heatColour(0.5, 'dark')).toEqual([59, 130, 246]);
  });
});
