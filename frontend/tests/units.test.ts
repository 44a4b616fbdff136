import { describe, expect, it } from 'vitest';
import { noChanges } from '@/format/changes';
import { ABSENT, changeText, digits, duration, format, nanoseconds, wholeMilliseconds } from '@/format/units';

describe('numbers with units', () => {
  it('shows an absent number as a dash, never as zero', () => {
    for (const absent of [null, undefined, NaN, Infinity]) expect(format(absent, 'percent')).toBe(ABSENT);
    expect(format(0, 'percent')).toBe('0 %');
  });

  it('keeps three significant digits', () => {
    expect(['0.004', '0.12', '1.50', '12.3', '123', '99.9', '100']).toEqual(
      [0.0041, 0.1234, 1.499, 12.34, 123.4, 99.94, 99.96].map(digits),
    );
  });

  it('shows a disk latency below the kernel’s resolution as such, not as 0 ns', () => {
    expect([0, 0.25, null].map(wholeMilliseconds)).toEqual(['< 1 ms', '250 µs', ABSENT]);
  });

  it('says which period has no history, and when nothing changed', () => {
    expect(noChanges(true, true)).toMatch(/^Nothing changed/);
    expect(noChanges(true, false)).toContain('comparison period');
    expect(noChanges(false, true)).toContain('selected period');
    expect(noChanges(false, false)).toContain('either period');
  });

  it('counts bytes by 1024 and everything else by 1000', () => {
    expect(format(1023, 'bytes')).toBe('1023 B');
    expect(format(1536, 'bytes')).toBe('1.50 KiB');
    expect(format(23.5 * 2 ** 30, 'bytes')).toBe('23.5 GiB');
    expect(format(1_500_000, 'count/s')).toBe('1.50 M/s');
    expect(format(1500, 'ops/s')).toBe('1.50 kIO/s');
    expect(format(999, 'count')).toBe('999');
  });

  it('moves to the next unit instead of showing 1000', () => {
    expect(format(999_999, 'count')).toBe('1.00 M');
    expect(format(1024 * 1024 - 1, 'bytes')).toBe('1.00 MiB');
  });

  it('formats a change in percent, and a large one as a factor', () => {
    expect([0, 4.25, -12.5, -100, 999].map(changeText)).toEqual([
      '0 %',
      '+4.25 %',
      '−12.5 %',
      '−100 %',
      '+999 %',
    ]);
    expect([1000, 10_834, 2e6].map(changeText)).toEqual(['×11', '×109', '×20.0 k']);
  });

  it('formats durations', () => {
    expect(nanoseconds(950)).toBe('950 ns');
    expect(nanoseconds(2_500_000)).toBe('2.50 ms');
    expect(nanoseconds(3e9)).toBe('3 s');
    expect([0, 45, 200, 3600, 90_061].map(duration)).toEqual(['0 s', '45 s', '3 min 20 s', '1 h', '1 d 1 h']);
  });
});
