import { createPinia, setActivePinia } from 'pinia';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { effectScope } from 'vue';
import * as api from '@/api/history';
import type { Explanation, Suspect } from '@/api/types';
import { useVerdict } from '@/composables/useVerdict';
import { showZone } from '@/format/zone';
import { culprit, judge, signs, unusual, unusualText, usualText, type Judged } from '@/series/verdict';

vi.mock('@/api/history');

const MINUTE = 60_000;
const NOW = Date.parse('2026-03-02T14:04:00Z');
const [cpu, , , disk] = signs as [Judged['sign'], Judged['sign'], Judged['sign'], Judged['sign']];

/** A day of points of five minutes. */
const day = (value: (i: number) => number, count = 288) =>
  Array.from({ length: count }, (_, i) => ({ time: NOW - (count - i) * 5 * MINUTE, value: value(i) }));

const suspect = (name: string, field: string, before: number, now: number, more: object = {}): Suspect =>
  ({ name, differences: [{ field, before, now, share: 0.5 }], ...more }) as Suspect;

describe('the verdict', () => {
  it('is about what is more than on most of the last day, by what matters', () => {
    const quiet = day(() => 20);
    expect(judge(cpu, quiet, 29)?.excess).toBeLessThan(1);
    expect(judge(cpu, quiet, 31)?.excess).toBeGreaterThan(1);
    // Less than usual is no trouble.
    expect(judge(cpu, quiet, 0)?.excess).toBeLessThan(1);
    // What happens every hour is usual.
    const hourly = day((i) => (i % 8 === 0 ? 90 : 20));
    expect(judge(cpu, hourly, 95)?.excess).toBeLessThan(1);
    // Large values have to grow by more.
    const slow = day(() => 100_000);
    expect(judge(disk, slow, 120_000)?.excess).toBeLessThan(1);
    expect(judge(disk, slow, 130_000)?.excess).toBeGreaterThan(1);
  });

  it('says nothing of what it knows too little of', () => {
    expect(
      judge(
        cpu,
        day(() => 20, 11),
        99,
      ),
    ).toBeNull();
    expect(judge(cpu, [], 99)).toBeNull();
    expect(
      judge(
        cpu,
        day(() => 20),
        NaN,
      ),
    ).toBeNull();
  });

  it('knows since when', () => {
    const rising = day((i) => (i < 285 ? 20 : 90));
    expect(judge(cpu, rising, 90)?.since).toBe(NOW - 15 * MINUTE);
    expect(
      judge(
        cpu,
        day(() => 20),
        90,
      )?.since,
    ).toBeNull();
  });

  it('names the program that does more of what causes it', () => {
    const judged: Judged = { sign: disk, excess: 2, since: null };
    const fio = suspect('fio', 'write_bytes_per_sec', 0, 8e6);
    expect(culprit(judged, { who: [suspect('burn', 'cpu_percent', 0, 99), fio] })).toBe('fio');
    expect(culprit(judged, { who: [suspect('fio', 'write_bytes_per_sec', 8e6, 0)] })).toBeNull();
    const unnamed = suspect('', 'read_bytes_per_sec', 0, 8e6, { cgroup: '/system.slice/cron.service' });
    expect(culprit(judged, { who: [unnamed] })).toBe('cron.service');
    expect(culprit(judged, { who: [] })).toBeNull();
  });

  it('is a sentence, the worst first', () => {
    const judged = [
      { sign: cpu, excess: 1.1, since: null },
      { sign: disk, excess: 7, since: null },
      { sign: signs[1]!, excess: 0.4, since: null },
    ];
    const worst = unusual(judged);
    expect(unusualText(worst.slice(0, 1), '14:02', 'fio')).toBe('Disk waits are unusual since 14:02: fio');
    expect(unusualText(worst, '14:02', null)).toBe('Disk waits and CPU use are unusual since 14:02');
    expect(usualText(judged.slice(2))).toBe('Nothing unusual: Memory use is as over the last day');
    expect(usualText(judged)).toBe(
      'Nothing unusual: CPU use, disk waits, and memory use are as over the last day',
    );
  });
});

describe('looking for it', () => {
  let recent: number;
  const scope = effectScope();

  beforeEach(() => {
    vi.useFakeTimers({ now: NOW });
    showZone('UTC');
    setActivePinia(createPinia());
    recent = 20;
    vi.mocked(api.columns).mockImplementation(async ({ from, interval }, each) => {
      const times = interval === 'range' ? [from] : day(() => 20).map(({ time }) => time);
      const usage_percent = interval === 'range' ? [recent] : times.map(() => 20);
      await Promise.resolve();
      each({
        metric_type: 'cpu',
        interval,
        times,
        count: times.map(() => 1),
        average: { usage_percent },
        histograms: {},
        truncated: false,
      });
    });
    const who = [suspect('stress-ng', 'cpu_percent', 0, 190)];
    vi.mocked(api.explanation).mockResolvedValue({ who } as unknown as Explanation);
  });
  afterEach(() => {
    scope.stop();
    vi.clearAllMocks();
    vi.useRealTimers();
    showZone(undefined);
  });

  it('asks for the day once, for the last minutes each minute, and for who only if that is unusual', async () => {
    const { verdict } = scope.run(() => useVerdict(() => true))!;
    await vi.advanceTimersByTimeAsync(10);
    expect(verdict.value).toMatchObject({
      kind: 'usual',
      text: 'Nothing unusual: CPU use is as over the last day',
    });
    const asked = () => vi.mocked(api.columns).mock.calls.length;
    expect(asked()).toBe(2);
    expect(api.explanation).not.toHaveBeenCalled();
    recent = 99;
    await vi.advanceTimersByTimeAsync(MINUTE);
    expect(asked()).toBe(3);
    expect(verdict.value).toMatchObject({
      kind: 'unusual',
      text: 'CPU use is unusual since 14:03: stress-ng',
      span: { from: NOW - MINUTE, to: NOW + MINUTE },
    });
    // It stays the same incident, and so does who is behind it.
    await vi.advanceTimersByTimeAsync(2 * MINUTE);
    expect(verdict.value?.text).toBe('CPU use is unusual since 14:03: stress-ng');
    expect(verdict.value?.span).toEqual({ from: NOW - MINUTE, to: NOW + 3 * MINUTE });
    expect(api.explanation).toHaveBeenCalledTimes(1);
    recent = 20;
    await vi.advanceTimersByTimeAsync(MINUTE);
    expect(verdict.value?.kind).toBe('usual');
  });
});
