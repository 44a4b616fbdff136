import { describe, expect, it } from 'vitest';
import type { ProcessRow } from '@/api/types';
import { hiddenText, NO_CGROUP, tableLines, type TableView } from '@/series/processTable';
import { ProcessTrack } from '@/series/processTrack';

const view: TableView = {
  search: '',
  sort: 'cpu_percent',
  descending: true,
  grouped: false,
  closed: new Set(),
};

const rows: ProcessRow[] = [
  { pid: 1, comm: 'init', user: 'root', cgroup: '/init', cpu_percent: 1, rss_bytes: 10, ipc: null },
  { pid: 30, comm: 'postgres', user: 'postgres', cgroup: '/db', cpu_percent: 50, rss_bytes: 20, ipc: 1.5 },
  { pid: 31, comm: 'postgres', user: 'postgres', cgroup: '/db', cpu_percent: 60, rss_bytes: 5, ipc: 0.5 },
  { pid: 9, comm: 'kworker', cgroup: null, cpu_percent: 0, ipc: null },
];
const pids = (part: Partial<TableView>) =>
  tableLines(rows, [], { ...view, ...part }).map((line) =>
    line.kind === 'process' ? line.row.pid : line.name,
  );

describe('hidden processes', () => {
  it('are told with the reason, unless there are none or it is not known', () => {
    expect(hiddenText(1)).toBe('1 more is hidden: /proc is mounted with hidepid');
    expect(hiddenText(1200)).toMatch(/^1,200 more are hidden/);
    expect([0, null, undefined].map(hiddenText)).toEqual(['', '', '']);
  });
});

describe('the process table', () => {
  it('sorts by any column, with absent values last in either direction', () => {
    expect(pids({})).toEqual([31, 30, 1, 9]);
    expect(pids({ sort: 'ipc' })).toEqual([30, 31, 1, 9]);
    expect(pids({ sort: 'ipc', descending: false })).toEqual([31, 30, 1, 9]);
    expect(pids({ sort: 'comm', descending: false })).toEqual([1, 9, 30, 31]);
    expect(pids({ sort: 'user', descending: true })).toEqual([1, 30, 31, 9]);
  });

  it('matches every search word in name, user, cgroup or PID', () => {
    expect(pids({ search: 'POSTGRES /db' })).toEqual([31, 30]);
    expect(pids({ search: '31' })).toEqual([31]);
    expect(pids({ search: 'nobody' })).toEqual([]);
  });

  it('groups with sums, sorted by the sums', () => {
    expect(pids({ grouped: true })).toEqual(['/db', 31, 30, '/init', 1, NO_CGROUP, 9]);
    expect(pids({ grouped: true, closed: new Set(['/db']) })).toEqual(['/db', '/init', 1, NO_CGROUP, 9]);
    const [first] = tableLines(rows, [], { ...view, grouped: true });
    expect(first).toMatchObject({ processes: 2, usage: { cpu_percent: 110, rss_bytes: 25 } });
  });

  it('uses cgroup totals, which include unlisted processes, unless there is a search', () => {
    const cgroups = [{ cgroup: '/db', processes: 40, cpu_percent: 200 }];
    const [whole] = tableLines(rows, cgroups, { ...view, grouped: true });
    expect(whole).toMatchObject({ processes: 40, usage: { cpu_percent: 200 } });
    const [part] = tableLines(rows, cgroups, { ...view, grouped: true, search: '31' });
    expect(part).toMatchObject({ processes: 1, usage: { cpu_percent: 60 } });
  });

  it('does not modify its input', () => {
    const before = structuredClone(rows);
    tableLines(rows, [], { ...view, grouped: true, sort: 'comm' });
    expect(rows).toEqual(before);
  });
});

describe('the track of processes', () => {
  it('has a gap where a process was not listed', () => {
    const track = new ProcessTrack(10);
    track.push(1000, rows);
    track.push(2000, []);
    track.push(3000, rows);
    const { times, values } = track.slice(30, 'cpu_percent', 0, 9000);
    expect([...times]).toEqual([1000, 2000, 3000]);
    expect([...values]).toEqual([50, NaN, 50]);
    expect([...track.slice(1, 'ipc', 0, 1500).values]).toEqual([NaN]);
  });

  it('keeps no more than its capacity plus one chunk', () => {
    const track = new ProcessTrack(10);
    for (let i = 0; i < 600; i += 1) track.push(i, rows);
    const { times } = track.slice(1, 'rss_bytes', 0, 600);
    expect(times.length).toBeLessThanOrEqual(266);
    expect(times.at(-1)).toBe(599);
  });
});
