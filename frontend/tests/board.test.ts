import { describe, expect, it } from 'vitest';
import { turns } from '@/api/turns';
import { MAX_PANELS, hasField, moved, parsePanel, replaced, toggleField, toggleIn } from '@/series/board';
import { entriesOf, matching } from '@/series/catalogue';
import { leavesOf } from '@/series/leaves';

const cpu = { metric: 'cpu', fields: ['user', 'system'] };
const memory = { metric: 'memory', fields: ['usage_percent'] };
const user = { metric: 'cpu', fields: ['user'] };

describe('the panels of a board', () => {
  it('come and go with their fields', () => {
    expect(toggleField([memory], 'cpu', 'user')).toEqual([memory, user]);
    expect(toggleField([cpu, memory, user], 'cpu', 'user')).toEqual([
      { metric: 'cpu', fields: ['system'] },
      memory,
    ]);
    expect(hasField([cpu], 'memory', 'user')).toBe(false);
    const many = Array.from({ length: MAX_PANELS }, () => memory);
    expect(toggleField(many, 'cpu', 'user')).toEqual(many);
  });

  it('are changed, removed and moved by their place', () => {
    expect(replaced([memory, memory], 1, cpu)).toEqual([memory, cpu]);
    expect(replaced([cpu, memory], 0, null)).toEqual([memory]);
    expect(replaced([cpu, memory], 0, { metric: 'cpu', fields: [] })).toEqual([memory]);
    expect(moved([cpu, memory, user], 0, 1)).toEqual([memory, cpu, user]);
    expect(moved([cpu, memory], 0, -1)).toEqual([cpu, memory]);
    expect(moved([cpu, memory], 1, 5)).toEqual([cpu, memory]);
  });

  it('have up to eight fields, none twice', () => {
    expect(toggleIn(cpu, 'user').fields).toEqual(['system']);
    expect(toggleIn(cpu, 'nice').fields).toEqual(['user', 'system', 'nice']);
    const eight = parsePanel('cpu:a,b,c,d,e,f,g,h,i,a');
    expect(eight?.fields).toHaveLength(8);
    expect(eight && toggleIn(eight, 'z').fields).toEqual(eight?.fields);
    expect(parsePanel('disk:a:b,a:b')).toEqual({ metric: 'disk', fields: ['a:b'] });
  });
});

describe('the catalogue of fields', () => {
  const histogram = { unit: 'ns', scheme: 'log16', buckets: [[100, 2]], count: 2, sum: 9, max: 8 };
  const entries = [
    ...entriesOf('cpu', leavesOf('cpu', { per_core: [1, 2, 3], user: 3, usage_percent: 4 })),
    ...entriesOf('scheduler', leavesOf('scheduler', { runqueue_wait: { p99_us: 3, histogram } })),
  ];
  it('leaves out counts whose rates are there, and tells apart what has the same name', () => {
    const document = { interrupts: 9, interrupts_per_sec: 3, irq: 1, forks: 5 };
    const found = entriesOf('cpu', leavesOf('cpu', document));
    expect(names(found)).toEqual(['Forks', 'Interrupts', 'Interrupts (%)']);
  });

  const names = (found: typeof entries): string[] => found.map(({ name }) => name);

  it('names each field once, those of the whole machine first', () => {
    expect(names(entries)).toEqual([
      'All cores',
      'Usage',
      'User',
      'Core 0',
      'Core 1',
      'Core 2',
      'Run queue wait',
      'Run queue wait: p99',
    ]);
    expect(new Set(entries.map(({ metric, path }) => `${metric} ${path}`)).size).toBe(entries.length);
  });

  it('has units and meanings', () => {
    expect(entries.find(({ path }) => path === 'user')).toMatchObject({ unit: '%', isDistribution: false });
    expect(entries.find(({ path }) => path === 'runqueue_wait.histogram')).toMatchObject({
      unit: 'distribution',
      isDistribution: true,
    });
    for (const { help } of entries) expect(help).not.toBe('');
  });

  it('is searched by all words, names before meanings', () => {
    expect(names(matching(entries, 'user'))[0]).toBe('User');
    expect(matching(entries, 'all cores')[0]?.help).not.toContain('`');
    expect(names(matching(entries, 'core 2'))[0]).toBe('Core 2');
    expect(names(matching(entries, 'SCHEDULER p99'))).toEqual(['Run queue wait: p99']);
    expect(names(matching(entries, '  '))).toHaveLength(entries.length);
    expect(matching(entries, 'cpu nothing')).toEqual([]);
  });
});

describe('requests in turn', () => {
  it('are at most so many at a time, and those cancelled meanwhile are not sent', async () => {
    const inTurn = turns(2);
    const finish: (() => void)[] = [];
    let sent = 0;
    const ask = () =>
      new Promise<number>((resolve) => {
        sent += 1;
        const place = sent;
        finish.push(() => {
          resolve(place);
        });
      });
    const cancelled = new AbortController();
    const never = new AbortController().signal;
    const [first, second] = [inTurn(ask, never), inTurn(ask, never)];
    const third = inTurn(ask, cancelled.signal);
    const fourth = inTurn(ask, never);
    cancelled.abort();
    expect(sent).toBe(2);
    finish[0]?.();
    expect(await first).toBe(1);
    await expect(third).rejects.toThrow();
    await Promise.resolve();
    expect(sent).toBe(3);
    finish[1]?.();
    finish[2]?.();
    expect([await second, await fourth]).toEqual([2, 3]);
  });

  it('go on after one that failed', async () => {
    const inTurn = turns(1);
    const { signal } = new AbortController();
    await expect(inTurn(() => Promise.reject(new Error('no')), signal)).rejects.toThrow('no');
    expect(await inTurn(() => Promise.resolve(1), signal)).toBe(1);
  });
});
