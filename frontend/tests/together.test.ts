import { describe, expect, it } from 'vitest';
import { groupIn } from '@/series/hosts';
import { together } from '@/series/together';

const at = (minute: number): string => `2026-01-02T00:0${minute.toString()}:00Z`;
const histogram = (buckets: [number, number][], max: number) => ({
  scheme: 'log16',
  buckets,
  count: buckets.reduce((sum, [, count]) => sum + count, 0),
  sum: 10,
  max,
});

describe('points of a group of machines', () => {
  it('are averages with the least and the most of any', () => {
    const point = (timestamp: string, usage: number, per: number) => ({
      timestamp,
      data: { usage_percent: usage, devices: { sda: { busy: per } }, state: 'up', gone: null },
      min: { usage_percent: usage - 1 },
      max: { usage_percent: usage + 1 },
      count: 5,
    });
    const other = { ...point(at(0), 30, 4), data: { usage_percent: 30, devices: { sdb: { busy: 7 } } } };
    expect(together([[point(at(1), 10, 1), point(at(0), 10, 2)], [other]])).toEqual([
      {
        timestamp: at(0),
        data: { usage_percent: 20, devices: { sda: { busy: 2 }, sdb: { busy: 7 } } },
        min: { usage_percent: 9 },
        max: { usage_percent: 31 },
        count: 5,
      },
      {
        timestamp: at(1),
        data: { usage_percent: 10, devices: { sda: { busy: 1 } } },
        min: { usage_percent: 9 },
        max: { usage_percent: 11 },
        count: 5,
      },
    ]);
  });

  it('have the distributions of all', () => {
    const point = (buckets: [number, number][], max: number) => [
      { timestamp: at(0), data: { wait: { histogram: histogram(buckets, max) } } },
    ];
    const [whole] = together([
      point(
        [
          [3, 1],
          [5, 2],
        ],
        6,
      ),
      point(
        [
          [1, 4],
          [5, 1],
        ],
        9,
      ),
    ]);
    expect(whole?.data).toEqual({
      wait: {
        histogram: {
          ...histogram(
            [
              [1, 4],
              [3, 1],
              [5, 3],
            ],
            9,
          ),
          count: 8,
          sum: 20,
        },
      },
    });
  });

  it('are named by a label and its value', () => {
    expect(groupIn('role=db')).toEqual({ label: 'role', value: 'db' });
    expect(groupIn('web.1')).toBeNull();
  });
});
