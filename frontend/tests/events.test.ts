import { describe, expect, it } from 'vitest';
import { plot } from '@/charts/geometry';
import { markAt, marksOf } from '@/charts/marks';
import { detailOf, EpisodeTrack, episodesOf, eventsIn, within } from '@/series/events';

const at = (second: number): string => new Date(second * 1000).toISOString();
const throttled = (second: number, cgroup = '/jobs/build') => ({
  kind: 'cgroup_throttled',
  timestamp: at(second),
  cgroup,
  throttled_ms: 40,
});
const killed = (second: number) => ({ kind: 'oom_kill', timestamp: at(second), pid: 7, comm: 'hungry' });

describe('episodes', () => {
  it('merges repeated events, with their count and total time', () => {
    const found = episodesOf([throttled(3), throttled(1), throttled(2), killed(2), throttled(90)]);
    expect(found.map(({ kind, from, to, count }) => [kind, from / 1000, to / 1000, count])).toEqual([
      ['oom_kill', 2, 2, 1],
      ['cgroup_throttled', 1, 3, 3],
      ['cgroup_throttled', 90, 90, 1],
    ]);
    expect(found.map(detailOf)).toEqual([
      'hungry (7)',
      '/jobs/build, 3 times, 120 ms in total',
      '/jobs/build, 40 ms in total',
    ]);
    expect(within(found, { from: 2500, to: 9000 }).map(({ from }) => from)).toEqual([1000]);
  });

  it('keeps single events apart, however close: two starts mean a crash in between', () => {
    const start = (second: number) => ({ kind: 'perfwatch_started', timestamp: at(second) });
    expect(episodesOf([start(1), start(4)]).map(({ count }) => count)).toEqual([1, 1]);
  });

  it('counts an event repeated after a reconnect once, and keeps cgroups apart', () => {
    const track = new EpisodeTrack();
    expect(track.push([throttled(1), throttled(1, '/other')])).toBe(true);
    expect(track.push([throttled(1)])).toBe(false);
    expect(track.list.map(({ count }) => count)).toEqual([1, 1]);
  });

  it('keeps no more than its capacity', () => {
    const track = new EpisodeTrack(3);
    for (let i = 0; i < 10; i += 1) track.push([throttled(i * 100)]);
    expect(track.list.map(({ from }) => from / 1000)).toEqual([700, 800, 900]);
  });

  it('falls back to the kernel’s count of kills without events', () => {
    const memory_bandwidth = { oom_kill_per_sec: 0.2 };
    expect(eventsIn({ memory_bandwidth }, at(5))).toEqual([{ kind: 'oom_kill', timestamp: at(5) }]);
    expect(eventsIn({ memory_bandwidth, processes: { events: [killed(4)] } }, at(5))).toEqual([killed(4)]);
    const started = { kind: 'perfwatch_started', timestamp: at(1) };
    expect(eventsIn({ cpu: { events: [started] } }, at(5))).toEqual([started]);
  });
});

describe('marks', () => {
  const span = { from: 0, to: 100_000 };
  const width = plot.left + plot.right + 1000;

  it('are where the events are, with close ones of one tone merged', () => {
    const marks = marksOf(
      episodesOf([killed(50), throttled(50), throttled(51), throttled(10, '/a'), throttled(10, '/b')]),
      span,
      width,
    );
    expect(
      marks.map(({ tone, left, right, episodes }) => [
        tone,
        left - plot.left,
        right - plot.left,
        episodes.length,
      ]),
    ).toEqual([
      ['warn', 100, 100, 2],
      ['bad', 500, 500, 1],
      ['warn', 500, 510, 1],
    ]);
    expect(markAt(marks, plot.left + 502)?.tone).toBe('bad');
    expect(markAt(marks, plot.left + 511)?.tone).toBe('warn');
    expect(markAt(marks, plot.left + 300)).toBeNull();
  });

  it('are clamped to the plot, and there are none without room', () => {
    const spell = episodesOf([throttled(-20), throttled(5)]);
    expect(marksOf(spell, span, width)[0]?.left).toBe(plot.left);
    expect(marksOf(spell, span, 0)).toEqual([]);
  });
});
