import { createPinia, setActivePinia } from 'pinia';
import { describe, expect, it } from 'vitest';
import { createMemoryHistory, createRouter } from 'vue-router';
import type { FleetHost, Measures } from '@/api/types';
import { hostInLinks } from '@/router/hostInAddress';
import {
  cellText,
  countsOf,
  groupsOf,
  labelsOf,
  linesOf,
  measures,
  rowOf,
  scoreOf,
  stateOf,
  type HostRow,
  type Listing,
} from '@/series/fleet';
import { distinct } from '@/series/hosts';
import { comparedWith, parseView, viewQuery } from '@/series/historyView';
import { useFleetStore } from '@/stores/fleet';

function host(name: string, values: Measures = {}, about: Partial<FleetHost> = {}): FleetHost {
  return { id: `id-${name}`, name, state: 'live', measures: values, ...about };
}
function row(name: string, values: Measures = {}, about: Partial<FleetHost> = {}, labels = {}): HostRow {
  const known = { ...host(name), facts: {}, this: false, labels };
  return rowOf(host(name, values, about), {}, known as never);
}
const usual: Listing = { search: '', sort: 'worst', descending: true, group: null, level: null };
const names = (rows: readonly HostRow[], listing: Partial<Listing>): string[] =>
  groupsOf(rows, { ...usual, ...listing }).flatMap(({ rows: found }) => found.map(({ name }) => name));

describe('the state of a host', () => {
  it('is said in words, also one that is not known here', () => {
    const text = (state: string, skew?: number) =>
      stateOf(skew === undefined ? { state } : { state, clock_skew_seconds: skew }).text;
    expect(text('live', 0.2)).toBe('Live');
    expect(text('live', -90)).toBe('Clock 1 min 30 s behind');
    expect(text('live', 12)).toBe('Clock 12 s ahead');
    expect(text('silent', 500)).toBe('Silent');
    expect(text('outdated')).toBe('Outdated');
    expect(text('being_moved')).toBe('Being moved');
  });
});

describe('the health of a host', () => {
  it('is that of its worst measure', () => {
    const busy = row('a', { cpu_percent: 40, filesystem_percent: 91, network_bytes_per_sec: 1e9 });
    expect([busy.level, busy.worst?.key]).toEqual(['high', 'filesystem_percent']);
    expect(cellText(busy)).toBe('a: High, File system 91 %');
    expect(row('b', { memory_percent: 96 }).level).toBe('critical');
    expect(row('c', { cpu_percent: 3 }).level).toBe('ok');
    expect(row('d', { network_bytes_per_sec: 5 }).level).toBe('unknown');
    expect(cellText(row('e', { memory_percent: 96 }, { state: 'silent' }))).toBe('e: Silent, Memory 96 %');
  });

  it('grows with a measure, whatever its limits', () => {
    for (const measure of measures.filter(({ limits }) => limits !== null)) {
      const scores = Array.from({ length: 101 }, (_, value) => scoreOf(measure, value) ?? NaN);
      expect(scores.every((score, i) => score > (scores[i - 1] ?? -1) && score <= 1)).toBe(true);
    }
    expect(scoreOf({ limits: null }, 5)).toBeNull();
  });
});

describe('the hosts of a fleet', () => {
  const rows = [
    row('web10', { cpu_percent: 10, disk_percent: 1 }, {}, { role: 'web' }),
    row('web2', { cpu_percent: 99 }, {}, { role: 'web' }),
    row('db1', { cpu_percent: 50, disk_percent: 90 }, {}, { role: 'db' }),
    row('old', {}),
    row('gone', { cpu_percent: 1 }, { state: 'silent' }),
  ];

  it('are sorted by what is worst, by name, or by a measure; what has no value is last either way', () => {
    expect(names(rows, {})).toEqual(['web2', 'gone', 'db1', 'web10', 'old']);
    expect(names(rows, { sort: 'name', descending: false })).toEqual(['db1', 'gone', 'old', 'web2', 'web10']);
    expect(names(rows, { sort: 'disk_percent' })).toEqual(['db1', 'web10', 'gone', 'old', 'web2']);
    expect(names(rows, { sort: 'disk_percent', descending: false }).slice(0, 2)).toEqual(['web10', 'db1']);
  });

  it('are found by name, state and label', () => {
    expect(names(rows, { search: 'WEB 10' })).toEqual(['web10']);
    expect(names(rows, { search: 'role:db' })).toEqual(['db1']);
    expect(names(rows, { search: 'silent' })).toEqual(['gone']);
    expect(names(rows, { level: 'critical' })).toEqual(['web2']);
  });

  it('are grouped by a label, those without it last', () => {
    expect(labelsOf(rows)).toEqual(['role']);
    const lines = linesOf(groupsOf(rows, { ...usual, group: 'role' }));
    const told = lines.map((line) =>
      line.kind === 'group' ? `${line.title} (${line.count.toString()})` : line.row.name,
    );
    expect(told).toEqual([
      'role: db (1)',
      'db1',
      'role: web (2)',
      'web2',
      'web10',
      'without role (2)',
      'gone',
      'old',
    ]);
  });

  it('are told apart by their IDs where they have the same name', () => {
    const hosts = [host('a'), { ...host('a'), id: 'other' }, host('b')];
    expect(distinct(hosts).map(({ name }) => name)).toEqual(['a (id-a)', 'a (other)', 'b']);
  });

  it('are counted by level', () => {
    expect(countsOf(rows)).toEqual([
      { level: 'critical', count: 1 },
      { level: 'high', count: 1 },
      { level: 'ok', count: 1 },
      { level: 'unknown', count: 1 },
      { level: 'silent', count: 1 },
    ]);
  });
});

describe('an address', () => {
  const component = { render: () => null };
  function router(chosen: string | null) {
    const made = createRouter({
      history: createMemoryHistory(),
      routes: [
        { path: '/', component, meta: { timed: true } },
        { path: '/settings', component },
      ],
    });
    hostInLinks(made, () => chosen);
    return made;
  }

  it('of a page about one machine names it, unless it names another', () => {
    const { resolve } = router('web1');
    expect(resolve('/?range=5m#cpu').fullPath).toBe('/?range=5m&host=web1#cpu');
    expect(resolve({ path: '/', query: { host: 'db1' } }).fullPath).toBe('/?host=db1');
    expect(resolve('/settings').fullPath).toBe('/settings');
    expect(router(null).resolve('/?range=5m').fullPath).toBe('/?range=5m');
  });

  it('says which machine a range is compared with', () => {
    const view = { ...parseView({}), mode: 'compare' as const, comparison: { host: 'db1' } };
    expect(parseView(viewQuery(view))).toEqual(view);
    expect(comparedWith(view.comparison, { from: 1, to: 2 })).toEqual({ from: 1, to: 2, host: 'db1' });
  });

  it('says nothing of hosts where the server is for one machine', () => {
    setActivePinia(createPinia());
    const fleet = useFleetStore();
    fleet.follow({ host: 'web1' });
    expect([fleet.isHub, fleet.chosen, fleet.last, fleet.newest]).toEqual([false, null, null, null]);
  });
});
