import { afterEach, describe, expect, it } from 'vitest';
import { timeTicks } from '@/charts/timeAxis';
import {
  clockTime,
  cursorTime,
  fromInput,
  fullTime,
  midnightBefore,
  rangeText,
  zonedInput,
} from '@/format/time';
import { isZone, offsetText, showZone } from '@/format/zone';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const at = (text: string) => Date.parse(text);

afterEach(() => {
  showZone(undefined);
});

describe('midnight', () => {
  it('is 00:05, not 24:05', () => {
    const midnight = new Date(2026, 2, 2, 0, 5, 0).getTime();
    expect(clockTime(midnight)).toBe('00:05:00');
    expect(fullTime(midnight)).toContain('00:05:00');
    expect(cursorTime(midnight, 48 * HOUR)).toContain('00:05:00');
  });
});

describe('the time zone', () => {
  it('is that of everything shown', () => {
    const moment = at('2026-07-01T22:30:00Z');
    showZone('UTC');
    expect([clockTime(moment), offsetText(moment)]).toEqual(['22:30:00', 'UTC']);
    showZone('Asia/Kolkata');
    expect([clockTime(moment), offsetText(moment)]).toEqual(['04:00:00', 'UTC+05:30']);
    expect(new Date(midnightBefore(moment)).toISOString()).toBe('2026-07-01T18:30:00.000Z');
    expect([isZone('Asia/Kolkata'), isZone('Nowhere/At_All')]).toEqual([true, false]);
  });

  it('is that of what is entered, on both sides of a change to summer time', () => {
    showZone('Europe/Berlin');
    for (const [text, moment] of [
      ['2026-03-29T01:59:59', '2026-03-29T00:59:59Z'],
      ['2026-03-29T03:00:00', '2026-03-29T01:00:00Z'],
      ['2026-12-01T12:00:00', '2026-12-01T11:00:00Z'],
    ] as const) {
      expect(fromInput(text)).toBe(at(moment));
      expect(zonedInput(at(moment))).toBe(text);
    }
    expect(fromInput('')).toBeNaN();
  });

  it('decides whether a range crosses midnight', () => {
    const [from, to] = [at('2026-03-01T23:00:00Z'), at('2026-03-02T01:00:00Z')];
    showZone('UTC');
    expect(rangeText(from, to)).toMatch(/1.* – .*2/);
    showZone('America/New_York');
    expect(rangeText(from, to)).toMatch(/ – 20:00$/);
  });
});

describe('the time axis', () => {
  const labels = (from: string, to: string, width = 260) =>
    timeTicks({ from: at(from), to: at(to) }, width).map(({ label }) => label);

  it('has whole times in the shown zone', () => {
    showZone('UTC');
    expect(labels('2026-03-02T12:03:27Z', '2026-03-02T12:33:27Z')).toEqual(['12:10', '12:20', '12:30']);
    expect(labels('2026-03-02T12:00:03Z', '2026-03-02T12:00:33Z')).toEqual([
      '12:00:10',
      '12:00:20',
      '12:00:30',
    ]);
    showZone('Asia/Kolkata');
    expect(labels('2026-03-02T00:00:00Z', '2026-03-02T12:00:00Z')).toEqual([
      '06:00',
      '09:00',
      '12:00',
      '15:00',
    ]);
  });

  it('says the date at midnight, or where midnight has no room', () => {
    showZone('UTC');
    const day = labels('2026-03-01T13:00:00Z', '2026-03-02T13:00:00Z');
    expect(day.filter((label) => !/^\d\d:\d\d$/.test(label))).toHaveLength(1);
    expect(day).toContain('18:00');
    expect(labels('2026-03-01T23:59:58Z', '2026-03-02T00:20:00Z', 200)[0]).toMatch(/2/);
    const week = labels('2026-03-01T13:00:00Z', '2026-03-08T13:00:00Z', 600);
    expect(week).toHaveLength(7);
    expect(week.every((label) => !label.includes(':'))).toBe(true);
    expect(labels('2026-12-25T00:00:00Z', '2027-01-09T00:00:00Z', 600).at(-1)).toMatch(/2027/);
  });

  it('has hours at their places across a change to summer time', () => {
    showZone('Europe/Berlin');
    const ticks = timeTicks({ from: at('2026-03-28T12:00:00Z'), to: at('2026-03-29T12:00:00Z') }, 500);
    expect(ticks.map(({ time }) => clockTime(time).slice(2))).toEqual(ticks.map(() => ':00:00'));
    expect(new Set(ticks.map(({ time }) => time)).size).toBe(ticks.length);
  });

  it('leaves out a label that the right edge would cut off, and needs a width', () => {
    showZone('UTC');
    expect(labels('2026-03-02T12:00:00Z', '2026-03-02T12:30:01Z')).not.toContain('12:30');
    expect(labels('2026-03-02T12:00:00Z', '2026-03-02T12:30:00Z', 0)).toEqual([]);
    expect(timeTicks({ from: DAY, to: DAY }, 100)).toEqual([]);
  });
});
