import { expect, test } from 'vitest';
import type { ListedAlertRule } from '@/api/types';
import { linksOf, placeOf, since, switched, valueText, watched, withLinks } from '@/series/alerts';

const listed = (part: Partial<ListedAlertRule>): ListedAlertRule => ({
  name: 'busy',
  field: 'cpu.usage_percent',
  warning: { above: 90 },
  acknowledged: 0,
  is_cut: false,
  origin: 'api',
  problems: [],
  raised: 0,
  replaces_stock: false,
  state: 'ok',
  things: 1,
  unit: '%',
  ...part,
});

test('a rule goes back to the server without what the server added', () => {
  expect(switched(listed({ updated_by: 'admin', place: null }), true)).toEqual({
    name: 'busy',
    field: 'cpu.usage_percent',
    warning: { above: 90 },
    off: true,
  });
});

test('the rules that watch are counted apart from those that cannot', () => {
  expect(watched([listed({})], false)).toEqual({ count: 1, text: '1 rule watches this machine' });
  const rules = [
    listed({}),
    listed({ state: 'firing' }),
    listed({ state: 'no_data' }),
    listed({ state: 'not_applicable' }),
    listed({ state: null, off: true }),
    listed({ state: null, problems: ['field: unknown'] }),
  ];
  expect(watched(rules, false).text).toBe(
    '2 rules watch this machine, 2 without data, 1 not applicable here, 1 switched off',
  );
});

const now = Date.parse('2026-11-29T12:00:00Z');

test('links show the time around an alert, and no future', () => {
  const open = { from: '2026-11-29T11:00:00.5Z', to: null };
  const { history } = linksOf({ host: 'h', labels: {} }, 'pressure.cpu.some.avg60', open, now, false);
  expect(history.query).toMatchObject({
    p: ['pressure:cpu.some.avg60'],
    from: '2026-11-29T10:45:00Z',
    to: '2026-11-29T12:00:00Z',
  });
  const past = { from: '2026-11-29T04:00:00Z', to: '2026-11-29T08:00:00Z' };
  expect(linksOf({ host: 'h', labels: {} }, undefined, past, now, false).dashboard.query).toMatchObject({
    from: '2026-11-29T03:00:00Z',
    to: '2026-11-29T09:00:00Z',
  });
});

test('alerts of a fleet name their host and link to it', () => {
  const time = { from: '2026-11-29T11:00:00Z', to: null };
  const about = { host: '0123', host_name: 'web1', labels: { device: 'sda' } };
  expect([placeOf(about, true), placeOf(about, false)]).toEqual(['web1 · sda', 'sda']);
  const { history, dashboard } = linksOf(about, 'presence.silent_seconds', time, now, true);
  expect([history.query, dashboard.query]).toMatchObject([{ host: '0123' }, { host: '0123' }]);
  expect(history.query).not.toHaveProperty('p');
  expect(linksOf(about, undefined, time, now, false).history.query).not.toHaveProperty('host');
});

test('an alert about one thing links to what its metric type is mostly about', () => {
  const time = { from: '2026-11-29T11:00:00Z', to: null };
  const about = { host: 'h', labels: { mountpoint: '/' } };
  const { query } = linksOf(about, 'disk.partitions.usage_percent', time, now, false).history;
  expect(query).toMatchObject({ p: ['disk:io.read_bytes_per_sec,io.write_bytes_per_sec'] });
  expect(linksOf(about, 'cgroups.groups.memory_bytes', time, now, false).history.query).not.toHaveProperty(
    'p',
  );
});

test('history has what was raised in the period or reached into it', () => {
  const episode = (raised_at: string, cleared_at: string | null) => ({
    ...{
      id: raised_at,
      host: 'h',
      host_name: 'web1',
      rule: 'busy',
      labels: {},
      severity: 'warning',
      flapping: false,
      peak: 1,
      value: 1,
    },
    raised_at,
    cleared_at,
  });
  const all = [
    episode('2026-11-29T11:00:00Z', null),
    episode('2026-11-20T11:00:00Z', '2026-11-28T11:00:00Z'),
    episode('2026-11-20T11:00:00Z', '2026-11-20T12:00:00Z'),
  ];
  expect(since(all, Date.parse('2026-11-25T00:00:00Z'))).toEqual(all.slice(0, 2));
});

test('values have the unit of the rule, and unknown ones none', () => {
  expect(valueText(36_000, 's')).toBe('10 h');
  expect(valueText(95.04, '%')).toBe('95.0 %');
  expect(valueText(0.7, 'constructor')).toBe('0.70');
});

test('only addresses of the web become links', () => {
  expect(withLinks('See https://a.example/x?y=1, or javascript:alert(1).')).toEqual([
    { text: 'See ', isLink: false },
    { text: 'https://a.example/x?y=1', isLink: true },
    { text: ', or javascript:alert(1).', isLink: false },
  ]);
});
