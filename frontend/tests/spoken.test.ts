import { describe, expect, it } from 'vitest';
import { valuesAt } from '@/charts/spoken';

const line = (name: string, times: number[], values: number[]) => ({ name, times, values });

describe('what a chart says of a moment', () => {
  const lines = [line('User', [1000, 2000, 3000, 9000], [1, 2, 3, 9]), line('Idle', [2000], [98])];

  it('is the nearest value of each line', () => {
    expect(valuesAt(lines, 'percent', 2400, 1000)).toBe('User 2 %, Idle 98 %');
    expect(valuesAt(lines, 'percent', 0, 1000)).toBe('User 1 %');
    expect(valuesAt(lines, 'percent', 10_000, 1000)).toBe('User 9 %');
  });

  it('is nothing in a gap, without a value, and without lines', () => {
    expect(valuesAt(lines, 'percent', 6000, 1000)).toBe('no data');
    expect(valuesAt([line('User', [1000], [NaN])], 'percent', 1000, 1000)).toBe('no data');
    expect(valuesAt([line('User', [], [])], 'percent', 1000, 1000)).toBe('no data');
    expect(valuesAt([], 'percent', 1000, 1000)).toBe('no data');
  });
});
