import { describe, expect, it } from 'vitest';
import type { Change, Suspect } from '@/api/types';
import { changeSentence } from '@/format/changes';
import { subjectLines, suspectLine } from '@/series/explain';
import { explainedIn, explainParameters } from '@/series/explained';

const MIB = 1 << 20;

const fio: Suspect = {
  name: 'fio',
  cgroup: '/system.slice/postgres.service',
  group: { kind: 'service', name: 'postgres.service' },
  user: 'postgres',
  command: 'fio --rw=write',
  score: 0.9,
  runqueue_wait_ms_per_sec: 2,
  differences: [
    { field: 'write_bytes_per_sec', before: 0, now: 8 * MIB, share: 0.62 },
    { field: 'cpu_percent', before: 2, now: 37, share: 0.2 },
  ],
};

const change: Change = {
  metric_type: 'cpu',
  field: 'usage_percent',
  kind: 'number',
  score: 0.9,
  direction: 'up',
  current: { median: 80, p99: 99 },
  comparison: { median: 20, p99: 40 },
  change_percent: 300,
};

describe('a program', () => {
  it('is named with its service, and the strongest difference is first', () => {
    const line = suspectLine(fio);
    expect([line.name, line.place]).toEqual(['fio', 'postgres.service']);
    expect(line.isLess).toBe(false);
    expect(line.differences).toEqual(['+8 MiB/s written, from 0', '+35 % CPU, from 2 %']);
    expect(line.command).toBe('fio --rw=write');
    expect(line.share).toBe(0.62);
    expect(line.shareText).toBe('62 % of all that was written');
  });

  it('that uses less has a minus sign', () => {
    const differences = [{ field: 'rss_bytes', before: 300 * MIB, now: 100 * MIB, share: 0.1 }];
    const line = suspectLine({ ...fio, differences });
    expect(line.differences).toEqual(['−200 MiB of memory, from 300 MiB']);
    expect(line.isLess).toBe(true);
  });

  it('says how long it waited for a CPU only if that is notable', () => {
    const waits = (wait: number | null) =>
      suspectLine({ ...fio, runqueue_wait_ms_per_sec: wait }).differences.slice(2);
    expect(waits(310)).toEqual(['waited 310 ms/s for a CPU']);
    expect(waits(49)).toEqual([]);
    expect(waits(null)).toEqual([]);
  });

  it('outside of any service is only named, and without a name it is known by its cgroup', () => {
    const named = (part: Partial<Suspect>) => {
      const { name, place } = suspectLine({ ...fio, ...part });
      return [name, place];
    };
    expect(named({ cgroup: '/', group: null })).toEqual(['fio', '']);
    expect(named({ cgroup: null, group: null })).toEqual(['fio', '']);
    expect(named({ name: '' })).toEqual(['Other processes', 'postgres.service']);
    expect(named({ name: 'a\u001b\u202eb' })).toEqual(['a\ufffd\ufffdb', 'postgres.service']);
  });
});

describe('a change', () => {
  it('is told by its median', () => {
    expect(changeSentence(change)).toBe('Usage rose from 20 % to 80 % (+300 %)');
    const fell = { ...change, current: change.comparison, comparison: change.current, change_percent: -75 };
    expect(changeSentence(fell)).toBe('Usage fell from 80 % to 20 % (−75 %)');
  });

  it('from nothing has no percentage', () => {
    const comparison = { median: 0, p99: 0 };
    expect(changeSentence({ ...change, comparison, change_percent: null })).toBe(
      'Usage rose from 0 % to 80 %',
    );
  });

  it('whose median stayed is told by its 99th percentile, or else by its shape', () => {
    const same = { ...change, change_percent: 0, comparison: { median: 80, p99: 90 } };
    expect(changeSentence(same)).toBe('Usage: p99 rose from 90 % to 99 %');
    const mixed = { ...same, direction: 'mixed', comparison: change.current };
    expect(changeSentence(mixed)).toBe('Usage changed shape');
  });

  it('is listed under its subject', () => {
    const wait = { ...change, metric_type: 'scheduler', field: 'runqueue_wait.histogram', kind: 'histogram' };
    expect(subjectLines({ subject: 'cpu', changes: [change, wait] })).toEqual({
      subject: 'CPU',
      lines: [
        { id: 'cpu.usage_percent', text: 'Usage rose from 20 % to 80 % (+300 %)', metric: '' },
        {
          id: 'scheduler.runqueue_wait.histogram',
          text: 'Run queue wait rose from 20 ns to 80 ns (+300 %)',
          metric: 'Scheduler',
        },
      ],
    });
  });
});

describe('the address of an explanation', () => {
  const explained = {
    from: Date.parse('2026-01-02T03:00:00Z'),
    to: Date.parse('2026-01-02T03:01:00Z'),
    compareTo: 'yesterday' as const,
  };

  it('says the range and what it is compared with', () => {
    const query = explainParameters(explained);
    expect(query).toEqual({
      explain: 'yesterday',
      explain_from: '2026-01-02T03:00:00Z',
      explain_to: '2026-01-02T03:01:00Z',
    });
    expect(explainedIn(query)).toEqual(explained);
    expect(explainedIn(explainParameters(null))).toBeNull();
  });

  it('with anything else in it explains nothing', () => {
    const query = explainParameters(explained);
    expect(explainedIn({ ...query, explain: 'tomorrow' })).toBeNull();
    expect(explainedIn({ ...query, explain_to: '2026-01-02T02:00:00Z' })).toBeNull();
    expect(explainedIn({ range: '5m', explain: 'before' })).toBeNull();
  });
});
