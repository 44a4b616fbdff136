import { describe, expect, it } from 'vitest';
import { Ring } from '@/series/ring';

function filled(capacity: number, count: number): Ring {
  const ring = new Ring(capacity);
  for (let i = 1; i <= count; i += 1) ring.push(i * 10, [['a', i]]);
  return ring;
}

describe('Ring', () => {
  it('keeps the newest samples when it is full', () => {
    const { times, values } = filled(4, 6).slice('a', 0);
    expect([...times]).toEqual([30, 40, 50, 60]);
    expect([...values]).toEqual([3, 4, 5, 6]);
  });

  it('rejects known samples, which a reconnect repeats', () => {
    const ring = filled(10, 3);
    expect(ring.push(30, [['a', 99]])).toBe(false);
    expect(ring.push(20, [['a', 99]])).toBe(false);
    expect(ring.push(NaN, [['a', 99]])).toBe(false);
    expect(ring.push(40, [['a', 4]])).toBe(true);
    expect([...ring.slice('a', 0).values]).toEqual([1, 2, 3, 4]);
  });

  it('prunes a series once it has no value left, not before', () => {
    const ring = filled(3, 3);
    ring.push(40, [['b', 1]]);
    ring.push(50, [['b', 2]]);
    ring.pruneEmpty();
    expect(ring.names()).toEqual(['a', 'b']);
    ring.push(60, [['b', 3]]);
    ring.pruneEmpty();
    expect(ring.names()).toEqual(['b']);
  });

  it('visits the values of a series in order, without absent ones', () => {
    const ring = filled(3, 4);
    ring.push(50, [['b', 1]]);
    ring.push(60, [['a', 6]]);
    const seen: number[][] = [];
    ring.each('a', ring.indexFrom(40), ring.size, (value, time) => seen.push([time, value]));
    expect(seen).toEqual([
      [40, 4],
      [60, 6],
    ]);
  });

  it('has no value where a series was absent, even in a reused slot', () => {
    const ring = filled(3, 3);
    ring.push(40, [['b', 1]]);
    expect(ring.at('a', 2)).toBeNaN();
    expect(ring.at('b', 2)).toBe(1);
    expect(ring.at('b', 0)).toBeNaN();
    expect(ring.at('nowhere', 0)).toBeNaN();
  });

  it('treats null as absent, not as zero', () => {
    const ring = new Ring(2);
    ring.push(1, [['a', null]]);
    expect(ring.at('a', 0)).toBeNaN();
  });

  it('slices by time, both ends included', () => {
    expect([...filled(10, 6).slice('a', 20, 40).times]).toEqual([20, 30, 40]);
    expect(filled(10, 3).slice('a', 31).times).toHaveLength(0);
  });

  it('rewinds, also past its start, and goes on from there', () => {
    const ring = filled(4, 6);
    expect([ring.has(50), ring.has(55), ring.has(20)]).toEqual([true, false, false]);
    ring.rewind(50);
    expect(ring.last).toBe(40);
    expect(ring.push(45, [['a', 7]])).toBe(true);
    expect([...ring.slice('a', 0).values]).toEqual([3, 4, 7]);
    ring.rewind(0);
    expect(ring.last).toBeNull();
    expect(ring.push(5, [['b', 8]])).toBe(true);
    expect(ring.at('a', 0)).toBeNaN();
  });

  it('finds the nearest sample', () => {
    const ring = filled(10, 3);
    expect([0, 14, 16, 29, 99].map((time) => ring.nearest(time))).toEqual([0, 0, 1, 2, 2]);
    expect(new Ring(2).nearest(5)).toBe(-1);
  });

  it('shows a part of a series, also where it goes on at the beginning of the buffer', () => {
    const ring = new Ring(4);
    for (let second = 1; second <= 6; second += 1) ring.push(second, [['a', second]]);
    expect([...ring.view('a', 0, 4)]).toEqual([3, 4, 5, 6]);
    expect([...ring.view('a', 2, 4)]).toEqual([5, 6]);
    expect([...ring.view('a', 1, 1)]).toEqual([]);
    expect([...ring.view('b', 0, 2)]).toEqual([NaN, NaN]);
    const whole = Ring.of(Float64Array.of(1, 2, 3), new Map([['a', Float64Array.of(7, 8, 9)]]));
    expect([...whole.view('a', 1, 3)]).toEqual([8, 9]);
    expect([whole.last, whole.nearest(2), whole.at('a', 2)]).toEqual([3, 1, 9]);
  });
});
