import { describe, expect, it } from 'vitest';
import type { Histogram } from '@/api/types';
import { heatLine, heatmap, heatTicks } from '@/charts/heatmap';
import {
  bucketLow,
  columnOf,
  HistogramTrack,
  histogramsIn,
  isHistogram,
  quantile,
  rowLow,
  rowOf,
} from '@/series/histogram';

const histogram = (buckets: [number, number][]): Histogram => ({
  scheme: 'log16',
  buckets,
  count: buckets.reduce((sum, [, count]) => sum + count, 0),
});

describe('log16 buckets', () => {
  it('are exact below 32 and a sixteenth of a power of two above', () => {
    expect([0, 1, 31, 32, 33, 47, 48].map(bucketLow)).toEqual([0, 1, 31, 32, 34, 62, 64]);
  });

  it('are strictly increasing', () => {
    for (let index = 1; index < 976; index += 1)
      expect(bucketLow(index)).toBeGreaterThan(bucketLow(index - 1));
  });

  it('are grouped by four into rows that contain their values', () => {
    for (const value of [1, 5, 40, 1000, 123_456, 3e9]) {
      const row = Math.floor(rowOf(value));
      expect(rowLow(row)).toBeLessThanOrEqual(value);
      expect(rowLow(row + 1)).toBeGreaterThan(value);
    }
  });

  it('give quantiles to the accuracy of a bucket', () => {
    const one = histogram([
      [32, 50],
      [48, 50],
    ]);
    expect(quantile(one, 0.5)).toBe(33);
    expect(quantile(one, 0.99)).toBe(67);
    expect(quantile(histogram([]), 0.5)).toBeNull();
  });
});

describe('columns', () => {
  it('sum the buckets of a row', () => {
    expect([
      ...columnOf(
        histogram([
          [40, 1],
          [41, 2],
          [44, 5],
        ]),
      ),
    ]).toEqual([10, 3, 11, 5]);
  });

  it('are found at any depth of a document', () => {
    const document = { a: { read: { p50_us: 1, histogram: histogram([[1, 1]]) } }, list: [histogram([])] };
    expect([...histogramsIn('block_io', document)].map(([path]) => path)).toEqual([
      'block_io.a.read.histogram',
    ]);
    expect(isHistogram({ scheme: 'other', buckets: [] })).toBe(false);
  });

  it('are kept up to the capacity', () => {
    const track = new HistogramTrack(10);
    for (let i = 0; i < 1000; i += 1) track.push(i, 'a', histogram([[i % 900, 1]]));
    const { times } = track.slice('a', 0, 2000);
    expect(times.at(-1)).toBe(999);
    expect(times.length).toBeLessThanOrEqual(10 + 256);
    expect(track.slice('a', 990, 995).times).toEqual([991, 992, 993, 994, 995]);
  });

  it('are pruned with their device', () => {
    const track = new HistogramTrack(10);
    for (const time of [1, 2, 3, 9]) track.push(time, 'stays', histogram([[1, 1]]));
    track.push(2, 'goes', histogram([[1, 1]]));
    track.pruneBefore(3);
    expect(track.names('')).toEqual(['stays']);
    expect(track.slice('stays', 0, 10).times).toEqual([3, 9]);
    track.pruneBefore(3);
    expect(track.slice('stays', 0, 10).times).toEqual([3, 9]);
  });
});

describe('the heatmap', () => {
  const input = { times: [1000, 3000], span: { from: 0, to: 4000 }, interval: 1000, theme: 'dark' as const };
  const column = columnOf(histogram([[160, 9]]));

  it('leaves a gap where there was no sample', () => {
    const { width, height, pixels } = heatmap({ ...input, columns: [column, column] });
    expect(width).toBe(4);
    const painted = (x: number) => {
      let sum = 0;
      for (let y = 0; y < height; y += 1) sum += pixels[(y * width + x) * 4 + 3] ?? 0;
      return sum > 0;
    };
    expect([0, 1, 2, 3].map(painted)).toEqual([true, false, true, false]);
  });

  it('extends to an outlier', () => {
    const calm = heatmap({ ...input, columns: [column] });
    const wild = heatmap({ ...input, columns: [columnOf(histogram([[600, 1]]))] });
    expect(wild.rows.high).toBeGreaterThan(calm.rows.high);
    expect(wild.peak).toBe(1);
  });

  it('labels powers of ten and draws lines with gaps', () => {
    const { rows } = heatmap({ ...input, columns: [] });
    expect(heatTicks(rows).map((tick) => tick.label)).toContain('1 ms');
    const values = [1e4, NaN, 1e4, 2e4];
    const pieces = (times: number[]) =>
      heatLine({ times, values }, { from: 0, to: 40 }, rows, 1).match(/M/g)?.length;
    expect(pieces([1, 2, 3, 4])).toBe(2);
    expect(pieces([1, 2, 3, 30])).toBe(3);
  });
});
