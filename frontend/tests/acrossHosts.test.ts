import { describe, expect, it } from 'vitest';
import type { ChangesOfHosts, SeriesOfHosts } from '@/api/types';
import { linesOf } from '@/charts/hostCharts';
import { comparisonOf, fieldsOfHosts, merged, nothingYet } from '@/series/acrossHosts';

const series = (hosts: SeriesOfHosts['hosts'], others: number): SeriesOfHosts => ({
  field: 'cpu.usage_percent',
  unit: '%',
  combine: 'max',
  interval: '1m',
  times: ['2026-01-02T00:00:00Z', '2026-01-02T00:01:00Z'],
  hosts,
  rest: { hosts: others, min: [1, 1], average: [2, null], max: [3, 3] },
  without_data: 0,
});

describe('lines of hosts', () => {
  it('draw the band of the others first, and leave gaps where there is no value', () => {
    const lines = linesOf(series([{ id: 'a', name: 'web', average: 5, max: 5, values: [5, null] }], 7), 2);
    expect(lines.map(({ name }) => name)).toEqual(['7 others: average, least to greatest', 'web']);
    expect(Array.from(lines[0]?.values ?? [])).toEqual([4, NaN]);
    expect(Array.from(lines[0]?.high ?? [])).toEqual([6, 6]);
    expect(Array.from(lines[1]?.values ?? [])).toEqual([10, NaN]);
  });

  it('tell hosts of the same name apart by their IDs', () => {
    const host = (id: string) => ({ id, name: 'web', average: 5, max: 5, values: [5, 5] });
    const lines = linesOf(series([host('0123456789'), host('abcdefghij')], 0), 1);
    expect(lines.map(({ name }) => name)).toEqual(['web (01234567)', 'web (abcdefgh)']);
  });
});

describe('changes of hosts', () => {
  const summary = { median: 1, p99: 1 };
  const found = (host: string, score: number, functionOf: string): ChangesOfHosts => ({
    period: 'custom',
    compare_to: 'custom',
    current: { start_time: '', end_time: '', has_data: true },
    comparison: { start_time: '', end_time: '', has_data: true },
    fields: [
      {
        metric_type: 'cpu',
        field: 'usage_percent',
        score,
        hosts: [
          {
            id: host,
            name: host,
            change: {
              metric_type: 'cpu',
              field: 'usage_percent',
              kind: 'number',
              score,
              direction: 'up',
              current: summary,
              comparison: summary,
              change_percent: null,
            },
          },
        ],
      },
    ],
    functions: [{ name: functionOf, module: 'libc.so.6', hosts: [] }],
    compared: 1,
    without_data: 1,
    hosts: 2,
    next: null,
  });

  it('of one field are together, the largest first', () => {
    const all = merged(merged(nothingYet, found('a', 0.5, 'f')), found('b', 0.75, 'g'));
    expect(all.fields.map(({ score, hosts }) => [score, hosts.map(({ id }) => id)])).toEqual([
      [1.25, ['b', 'a']],
    ]);
    expect(all.functions.map(({ name }) => name)).toEqual(['f', 'g']);
    expect([all.compared, all.withoutData]).toEqual([2, 2]);
  });
});

describe('the fields to choose from', () => {
  it('have names, and no labels or states', () => {
    const fields = fieldsOfHosts();
    const full = fields.find(({ metric, path }) => metric === 'disk' && path === 'partitions.usage_percent');
    expect(full?.unit).toBe('%');
    expect(fields.some(({ path }) => /[[{]/.test(path))).toBe(false);
    expect(fields.some(({ metric }) => metric === 'usage')).toBe(false);
  });
});

describe('the range to compare with', () => {
  it('is as long, just before or on another day', () => {
    const day = 86_400_000;
    const span = { from: 10 * day, to: 10 * day + 600 };
    expect(comparisonOf(span, 'before')).toEqual({ from: 10 * day - 600, to: 10 * day });
    expect(comparisonOf(span, 'last_week')).toEqual({ from: 3 * day, to: 3 * day + 600 });
  });
});
