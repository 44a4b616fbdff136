import { describe, expect, it } from 'vitest';
import type {
  DataPoint,
  ListedProcess,
  ProcessPoints,
  ProcessRanking,
  ProcessUse,
  RankedRow,
} from '@/api/types';
import { coursePath } from '@/charts/course';
import { cpuLimit, groupCharts } from '@/charts/groupCharts';
import { chartsOf } from '@/charts/processCharts';
import { linkOf } from '@/components/who/links';
import { eventsOf, figures, starts } from '@/series/who/facts';
import { fieldOf, groupEpisodes, groupOf, groupPoints, limitsOf } from '@/series/who/groupHistory';
import { plain, titleOf } from '@/series/who/group';
import { linesOf, measured, NO_CGROUP, type View } from '@/series/who/lines';
import {
  addUp,
  argumentsOf,
  hiddenText,
  liveRows,
  rankedRows,
  withCourses,
  type WhoRow,
} from '@/series/who/rows';
import { episodesOf } from '@/series/events';

const view: View = {
  search: '',
  sort: 'cpu_percent',
  descending: true,
  tree: 'none',
  closed: new Set(),
};

const listed: ListedProcess[] = [
  {
    pid: 1,
    comm: 'init',
    parent_pid: 0,
    user: 'root',
    cgroup: '/',
    cpu_percent: 1,
    rss_bytes: 10,
    ipc: null,
  },
  {
    pid: 30,
    comm: 'postgres',
    parent_pid: 1,
    user: 'postgres',
    cgroup: '/system.slice/db.service',
    command: '/usr/bin/postgres -D /data',
    cpu_percent: 50,
    rss_bytes: 20,
    ipc: 1.5,
  },
  {
    pid: 31,
    comm: 'postgres',
    parent_pid: 30,
    user: 'postgres',
    cgroup: '/system.slice/db.service',
    command: 'postgres: writer',
    cpu_percent: 60,
    rss_bytes: 5,
    ipc: 0.5,
  },
  { pid: 9, comm: 'kworker', parent_pid: 2, cgroup: null, cpu_percent: 0, ipc: null },
];
const rows = liveRows(listed, 'process');
const names = (part: Partial<View>, of: readonly WhoRow[] = rows) =>
  linesOf(of, { ...view, ...part }).map(
    ({ row, depth }) => '.'.repeat(depth) + (row.pid?.toString() ?? row.name),
  );

const use = { cpu_percent: 0 };
const ranked = (part: Partial<RankedRow>): RankedRow => ({
  name: 'x',
  first_seen: '2026-01-01T00:00:00Z',
  last_seen: '2026-01-01T01:00:00Z',
  data: use,
  max: use,
  course: [],
  ...part,
});
const ranking = (by: string, some: RankedRow[]): ProcessRanking => ({
  start_time: '',
  end_time: '',
  by,
  order: 'cpu_percent',
  seconds: 3600,
  count: some.length,
  found: some.length,
  total: { data: { cpu_percent: 12.5, ipc: null }, cpu_seconds: 450 },
  other: { data: use },
  rows: some,
});

describe('a flat list', () => {
  it('sorts by any column, with absent values last in either direction', () => {
    expect(names({})).toEqual(['31', '30', '1', '9']);
    expect(names({ sort: 'ipc' })).toEqual(['30', '31', '1', '9']);
    expect(names({ sort: 'ipc', descending: false })).toEqual(['31', '30', '1', '9']);
    expect(names({ sort: 'name', descending: false })).toEqual(['1', '9', '30', '31']);
    expect(names({ sort: 'user' })).toEqual(['1', '30', '31', '9']);
    expect(names({ sort: 'group', descending: false })).toEqual(['1', '30', '31', '9']);
    expect(names({ sort: 'pid', descending: false })).toEqual(['1', '9', '30', '31']);
  });

  it('matches every word in name, command line, user, cgroup or PID', () => {
    expect(names({ search: 'POSTGRES db.service' })).toEqual(['31', '30']);
    expect(names({ search: 'writer' })).toEqual(['31']);
    expect(names({ search: '31' })).toEqual(['31']);
    expect(names({ search: 'nobody' })).toEqual([]);
  });

  it('has only the amounts that something was measured of', () => {
    expect([...measured(rows)].sort()).toEqual(['cpu_percent', 'ipc', 'rss_bytes']);
  });
});

describe('a tree by parent', () => {
  it('sorts by what everything below used, and shows it where a branch is closed', () => {
    expect(names({ tree: 'parent' })).toEqual(['1', '.30', '..31', '9']);
    const [first] = linesOf(rows, { ...view, tree: 'parent' });
    expect([first?.used.cpu_percent, first?.below, first?.open]).toEqual([1, 2, true]);
    const closed = linesOf(rows, { ...view, tree: 'parent', closed: new Set([rows[0]!.key]) });
    expect(closed.map(({ row, used }) => [row.pid, used.cpu_percent])).toEqual([
      [1, 111],
      [9, 0],
    ]);
  });

  it('keeps the ancestors of what was found', () => {
    expect(names({ tree: 'parent', search: 'writer' })).toEqual(['1', '.30', '..31']);
  });

  it('survives PIDs that were reused so that processes are each other’s parents', () => {
    const circle = liveRows(
      [
        { pid: 5, comm: 'a', parent_pid: 6 },
        { pid: 6, comm: 'b', parent_pid: 7 },
        { pid: 7, comm: 'c', parent_pid: 5 },
        { pid: 8, comm: 'd', parent_pid: 8 },
      ],
      'process',
    );
    const found = linesOf(circle, { ...view, tree: 'parent' });
    expect(found.map(({ row }) => row.pid).sort()).toEqual([5, 6, 7, 8]);
  });

  it('takes chains of any depth', () => {
    const chain = Array.from({ length: 20_000 }, (_, i) => ({
      pid: i + 1,
      comm: 'x',
      parent_pid: i,
      cpu_percent: 1,
    }));
    const lines = linesOf(liveRows(chain, 'process'), { ...view, tree: 'parent' });
    expect([lines.length, lines[0]?.below]).toEqual([20_000, 19_999]);
  });
});

describe('a tree by cgroup', () => {
  it('adds up, and does not tell passages apart', () => {
    expect(names({ tree: 'cgroup' })).toEqual(['db.service', '.31', '.30', '/', '.1', NO_CGROUP, '.9']);
    const [service] = linesOf(rows, { ...view, tree: 'cgroup' });
    expect([service?.used.cpu_percent, service?.used.rss_bytes, service?.below]).toEqual([110, 25, 2]);
  });

  it('has a place for each cgroup of a list of cgroups', () => {
    const groups = liveRows(
      [
        { pid: 1, comm: 'a', cgroup: '/system.slice/a.service', cpu_percent: 5 },
        { pid: 2, comm: 'b', cgroup: '/system.slice/a.service/worker', cpu_percent: 7 },
        { pid: 3, comm: 'c', cgroup: '/user.slice', cpu_percent: 20 },
      ],
      'cgroup',
    );
    const lines = linesOf(groups, { ...view, tree: 'cgroup' });
    expect(lines.map(({ row, depth, used }) => [row.id, depth, used.cpu_percent])).toEqual([
      ['/user.slice', 0, 20],
      ['/system.slice/a.service', 0, 12],
      ['/system.slice/a.service/worker', 1, 7],
    ]);
  });
});

describe('rows', () => {
  it('add up processes of a name and of a cgroup, without ratios', () => {
    const [first] = linesOf(liveRows(listed, 'name'), view);
    expect(first?.row).toMatchObject({ name: 'postgres', user: 'postgres', command: null });
    expect(first?.used).toEqual({ cpu_percent: 110, rss_bytes: 25, processes: 2 });
    expect(addUp([{ used: { cpu_percent: null } }])).toEqual({});
  });

  it('have the same keys now and over a range, so that a course finds its row', () => {
    const course = [1, null, 3];
    const row = ranked({ pid: 31, name: 'postgres', cgroup: '/system.slice/db.service', course });
    const joined = withCourses(rows, rankedRows(ranking('process', [row])));
    expect(joined.map((one) => one.course)).toEqual([null, null, course, null]);
  });

  it('say what a command line adds to the name', () => {
    expect(argumentsOf('/usr/bin/python3 -m http.server', 'python3')).toBe('-m http.server');
    expect(argumentsOf('/opt/a-very-long-name-of-it --x', 'a-very-long-nam')).toBe('--x');
    expect(argumentsOf('postgres: writer', 'postgres')).toBe('writer');
    expect(argumentsOf('/bin/sh /etc/run', 'worker')).toBe('/bin/sh /etc/run');
    expect(argumentsOf('', 'kworker')).toBe('');
  });

  it('tell how many are hidden, unless there are none or it is not known', () => {
    expect(hiddenText(1)).toBe('1 process hidden by hidepid');
    expect(hiddenText(1200)).toBe('1,200 processes hidden by hidepid');
    expect([0, null, undefined].map(hiddenText)).toEqual(['', '', '']);
  });
});

describe('names of cgroups', () => {
  const id = '3f4b9d1c2a5e687790abcdef0123456789abcdef0123456789abcdef01234567';
  it('come from the server, or else from the path', () => {
    expect(titleOf('/x', { kind: 'container', name: 'web', image: 'nginx:1' })).toEqual({
      name: 'web',
      kind: 'container',
      image: 'nginx:1',
    });
    expect(titleOf(String.raw`/system.slice/system-systemd\x2dfsck.slice`, null)).toMatchObject({
      name: 'system-systemd-fsck.slice',
      kind: 'slice',
    });
    expect(titleOf(`/system.slice/docker-${id}.scope`, null)).toMatchObject({
      name: id.slice(0, 12),
      kind: 'container',
    });
    expect(titleOf('/user.slice/user-7.slice/session-4.scope', null)).toMatchObject({ name: 'session 4' });
    expect(titleOf('/', null)).toMatchObject({ name: '/', kind: 'root' });
    expect(titleOf('/jobs/build', null)).toMatchObject({ name: 'build', kind: '' });
  });

  it('are shown without control characters, and not endless', () => {
    expect(plain('a\n\u202eb\u0000')).toBe('a��b�');
    expect(plain('x'.repeat(10_240))).toHaveLength(257);
  });
});

describe('the page of one', () => {
  const span = { from: Date.parse('2026-01-01T00:00:00Z'), to: Date.parse('2026-01-01T01:00:00Z') };

  it('has averages, peaks and sums of what is measured', () => {
    const points = {
      start_time: '',
      end_time: '',
      interval: '1m',
      count: 1,
      truncated: false,
      names: [],
      data_points: [{ timestamp: '', snapshots: 1, data: use, max: { cpu_percent: 97 } }],
    };
    expect(figures(ranking('process', []), points)).toEqual([
      { label: 'CPU', value: '12.5 %', detail: 'peak 97 %, 7 min 30 s in all' },
    ]);
  });

  it('marks processes that started in the range', () => {
    const some = rankedRows(
      ranking('process', [
        ranked({ pid: 7, name: 'web', started: '2026-01-01T00:10:00Z' }),
        ranked({ pid: 8, name: 'web', started: '2025-01-01T00:10:00Z' }),
        ranked({ name: 'web', started: '2026-01-01T00:20:00Z' }),
      ]),
    );
    expect(starts(some, span).map(({ subject }) => subject)).toEqual(['web (7)']);
  });

  it('has only its own events', () => {
    const timestamp = '2026-01-01T00:10:00Z';
    const all = episodesOf([
      { kind: 'oom_kill', timestamp, pid: 7, comm: 'web', cgroup: '/a.service/x' },
      { kind: 'cgroup_throttled', timestamp, cgroup: '/a.service', throttled_ms: 5 },
      { kind: 'cgroup_throttled', timestamp, cgroup: '/a.service2', throttled_ms: 5 },
      { kind: 'machine_started', timestamp },
    ]);
    const subjects = (whose: Parameters<typeof eventsOf>[1]) =>
      eventsOf(all, whose).map(({ subject, kind }) => subject || kind);
    expect(subjects({ cgroup: '/a.service' })).toEqual(['web (7)', '/a.service', 'machine_started']);
    expect(subjects({ pid: 7 })).toEqual(['web (7)', 'machine_started']);
    expect(subjects({ name: 'web' })).toEqual(['web (7)', 'machine_started']);
    expect(subjects({ name: 'other' })).toEqual(['machine_started']);
    expect(subjects({ cgroup: '/' })).toHaveLength(4);
  });
});

describe('the course', () => {
  it('has bars where something was measured', () => {
    expect(coursePath([0, null, 50, 100], 40, 10).match(/M/g)).toHaveLength(3);
    expect(coursePath([], 40, 10)).toBe('');
  });
});

describe('charts of what was used', () => {
  const point = (second: number, data: ProcessUse | null) => ({
    timestamp: new Date(second * 1000).toISOString(),
    snapshots: 1,
    data,
    max: data,
  });
  const points: ProcessPoints = {
    start_time: '',
    end_time: '',
    interval: '5s',
    count: 5,
    truncated: false,
    names: [],
    data_points: [
      point(0, null),
      point(5, { cpu_percent: 10, rss_bytes: 7, processes: 1 }),
      point(10, null),
      point(15, { cpu_percent: 20, rss_bytes: null, processes: 1 }),
      point(20, null),
    ],
  };

  it('have zeros where nothing noticeable was used, but not before the first and after the last point', () => {
    const [cpu, memory, ...others] = chartsOf(points, true, 5000);
    expect(Array.from(cpu!.series[0]!.values)).toEqual([NaN, 10, 0, 20, NaN]);
    expect([memory!.series[0]!.times, memory!.series[0]!.values].map((of) => Array.from(of))).toEqual([
      [5000],
      [7],
    ]);
    expect(others).toEqual([]);
  });

  it('count processes only where minutes are whole', () => {
    const labels = (isOne: boolean, interval: number) =>
      chartsOf(points, isOne, interval).map(({ chart }) => chart.label);
    expect(labels(false, 60_000)).toContain('Processes at the same time');
    expect(labels(false, 5000)).not.toContain('Processes at the same time');
    expect(labels(true, 60_000)).not.toContain('Processes at the same time');
  });
});

describe('the document of a cgroup', () => {
  const row = (part: Record<string, unknown>) => ({ cgroup: '/a.service', memory_bytes: 100, ...part });
  const point = (second: number, groups: unknown[], max = groups): DataPoint => ({
    timestamp: new Date(second * 1000).toISOString(),
    data: { elapsed_ms: 1000, groups },
    max: { groups },
    ...(max === groups ? {} : { max: { groups: max } }),
  });
  const points = [
    point(0, [
      row({ cgroup: '/a.service.d' }),
      row({ cpu_limit: 0.5, throttled_ms: 40, throttled_periods: 2 }),
    ]),
    point(5, [row({ cpu_limit: 0.5, throttled_ms: 60, throttled_periods: 1, memory_limit_bytes: 200 })]),
    point(10, []),
    point(60, [
      row({ cpu_limit: 0.5, throttled_ms: 0, throttled_periods: 0, oom_kills: 1, tasks_limit: 10 }),
    ]),
  ];
  const found = groupPoints(points, '/a.service');

  it('is of this group alone', () => {
    expect(fieldOf('/a.service')).toBe('groups./a.service');
    expect(fieldOf('/a,b')).toBeNull();
    expect(found.map(({ time }) => time)).toEqual([0, 5000, 60_000]);
    expect(groupPoints([point(0, [])], '/a.service')).toEqual([]);
  });

  it('has its limits as lines', () => {
    expect(Array.from(cpuLimit(found)!.values)).toEqual([50, 50, 50]);
    const [memory, throttled] = groupCharts(found);
    expect(memory!.series.map(({ name, values }) => [name, ...Array.from(values)])).toEqual([
      ['In use', 100, 100, 100],
      ['Limit', NaN, 200, NaN],
    ]);
    expect(Array.from(throttled!.series[0]!.values)).toEqual([40, 60, 0]);
    expect(cpuLimit(groupPoints([point(0, [row({})])], '/a.service'))).toBeNull();
    expect(limitsOf(found)).toBe('0.50 CPUs, 10 tasks');
    expect(limitsOf([])).toBe('');
  });

  it('has how long its tasks and requests waited, of all values of a point', () => {
    const wait = { p50_us: 12, p99_us: 900, histogram: {} };
    const points = groupPoints(
      [point(0, [row({ runqueue_wait: wait, block_latency: null })]), point(5, [row({})])],
      '/a.service',
    );
    const charts = groupCharts(points).map(({ chart, series }) => ({ label: chart.label, series }));
    const waits = charts.find(({ label }) => label === 'Run queue wait');
    expect(waits?.series.map(({ name, values }) => [name, ...Array.from(values)])).toEqual([
      ['99th percentile', 900, NaN],
      ['Median', 12, NaN],
    ]);
    expect(waits?.series[0]).not.toHaveProperty('high');
    expect(charts.some(({ label }) => label.includes('disks'))).toBe(false);
  });

  it('has its events, and runs of them as one', () => {
    const events = groupEpisodes(found, '/a.service', 5000);
    expect(
      events.map(({ kind, from, to, count, throttledMs }) => [kind, from, to, count, throttledMs]),
    ).toEqual([
      ['oom_kill', 60_000, 60_000, 5, 0],
      ['cgroup_throttled', 0, 5000, 15, 500],
    ]);
  });
});

describe('addresses', () => {
  const time = { range: '5m', from: undefined, to: undefined };
  const of = (part: Partial<WhoRow>) =>
    linkOf({ kind: 'process', id: 'web', pid: null, cgroup: null, ...part }, time);

  it('lead to a process, or to its name where it can’t be told from others', () => {
    expect(of({ pid: 7 })).toMatchObject({
      name: 'who-process',
      params: { pid: '7' },
      query: { name: 'web', range: '5m' },
    });
    expect(of({})).toMatchObject({ name: 'who-name', params: { name: 'web' } });
    expect(of({ kind: 'cgroup', cgroup: '/a.slice/b c.service' })).toMatchObject({
      name: 'who-cgroup',
      params: { path: ['a.slice', 'b c.service'] },
    });
    expect(of({ kind: 'cgroup', cgroup: '/' })).toMatchObject({ params: { path: [] } });
    expect(of({ kind: 'cgroup' })).toBeNull();
    expect(of({ id: '' })).toBeNull();
  });
});

describe('the name of a cgroup in history', () => {
  it('is the last one that was recorded', () => {
    const at = (second: number, name: string) => ({
      timestamp: new Date(second * 1000).toISOString(),
      data: { groups: [{ cgroup: '/a', kind: 'container', name, image: null }] },
    });
    expect(groupOf(groupPoints([at(0, 'old'), at(1, 'new')], '/a'))).toEqual({
      kind: 'container',
      name: 'new',
      image: null,
    });
    expect(groupOf([])).toBeNull();
  });
});
