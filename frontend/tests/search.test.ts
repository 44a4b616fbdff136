import { describe, expect, it } from 'vitest';
import { cellAt } from '@/charts/heatmap';
import { rowLow, rowOf } from '@/series/histogram';
import { search, type Item } from '@/series/search';

const item = (kind: Item['kind'], title: string, detail = ''): Item => ({ kind, title, detail });
const items = [
  item('field', 'CPU: Core 3', 'Share of time busy'),
  item('field', 'Disk: vda: read latency', 'Mean time of a read'),
  item('process', 'postgres (31)', 'postgres: checkpointer'),
  item('process', 'cat (7)', 'cat postgresql.conf'),
  item('name', 'postgres', '3 processes'),
  item('group', 'postgresql.service', 'service · /system.slice/postgresql.service'),
  item('board', 'Postgres latency'),
  item('page', 'History'),
];
const titles = (text: string, most = 9): string[] => search(items, text, most).map(({ title }) => title);

describe('a search of everything', () => {
  it('lists the closest first, pages and boards before the rest', () => {
    expect(titles('postgres')).toEqual([
      'postgres',
      'Postgres latency',
      'postgresql.service',
      'postgres (31)',
      'cat (7)',
    ]);
    expect(titles('LATENCY')).toEqual(['Postgres latency', 'Disk: vda: read latency']);
    expect(titles('latency disk')).toEqual(['Disk: vda: read latency']);
    expect(titles('31')).toEqual(['postgres (31)']);
  });

  it('needs every word, and lists pages first without any', () => {
    expect(titles('core 4')).toEqual([]);
    expect(titles('(.*[')).toEqual([]);
    expect(titles(' ', 2)).toEqual(['History', 'Postgres latency']);
  });
});

describe('a cell of a heatmap', () => {
  const [low, high] = [Math.floor(rowOf(1000)), Math.ceil(rowOf(1_000_000))];
  const row = rowOf(2 ** 15);
  const heat = { rows: { low, high } };
  const input = {
    times: [10, 20, 40],
    columns: [row, row, row].map((one, i) => Uint32Array.of(one, i + 3)),
    interval: 10,
  };
  const at = (one: number): number => (high - one + 0.5) / (high - low + 1);

  it('is found by time and height', () => {
    expect(cellAt(heat, input, 15, at(row))).toEqual({ low: 2 ** 15, high: rowLow(row + 1), count: 4 });
    expect(cellAt(heat, input, 40, at(row))?.count).toBe(5);
    expect(cellAt(heat, input, 12, at(row + 1))?.count).toBe(0);
  });

  it('is nothing where nothing was measured, or beside the plot', () => {
    expect(cellAt(heat, input, 25, at(row))).toBeNull();
    expect(cellAt(heat, input, 0, at(row))).toBeNull();
    expect(cellAt(heat, input, 41, at(row))).toBeNull();
    expect(cellAt(heat, input, 15, 1)).toBeNull();
    expect(cellAt(heat, input, 15, -0.1)).toBeNull();
    expect(cellAt(heat, { times: [], columns: [], interval: 10 }, 15, 0.5)).toBeNull();
  });
});
