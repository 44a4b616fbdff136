import { expect, test } from 'vitest';
import type { AlertPreview, AlertRule } from '@/api/types';
import { amountText, parseAmount } from '@/format/amount';
import { isAbout, knownField, ruleFieldOf, ruleFieldsIn } from '@/series/alertFields';
import { marksFor } from '@/series/alertMarks';
import {
  draftOf,
  freeName,
  raiseOf,
  suggested,
  verdictOf,
  withDirection,
  withFunction,
  withRaise,
} from '@/series/alertRule';
import { labelsIn, labelsText, windowText } from '@/series/alertSilences';

test('plotted paths become fields of rules with the labels of one thing', () => {
  expect(ruleFieldOf('disk', 'devices.sda.read_latency_ms')).toEqual({
    field: 'disk.devices.read_latency_ms',
    labels: { device: 'sda' },
  });
  expect(ruleFieldOf('disk', 'partitions./dev/sda1./var/lib.ext4.usage_percent')).toEqual({
    field: 'disk.partitions.usage_percent',
    labels: { mountpoint: '/var/lib' },
  });
  expect(ruleFieldOf('cpu', 'per_core.3')).toEqual({ field: 'cpu.per_core', labels: { cpu: '3' } });
  expect(ruleFieldOf('cpu', 'per_core')).toEqual({ field: 'cpu.per_core', labels: {} });
  expect(ruleFieldOf('cpu', 'load_avg.0')).toEqual({ field: 'cpu.load_avg.0', labels: {} });
  for (const field of ['cpu.load_avg.0', 'disk.partitions.usage_percent', 'block_io.devices.read.histogram'])
    expect(knownField(field), field).toBeDefined();
  expect(knownField('disk.partitions.usage_percent')?.labels).toEqual(['device', 'mountpoint', 'fstype']);
  const panels = [{ metric: 'cpu', fields: ['user', 'user', 'nothing'] }];
  expect(ruleFieldsIn(panels)).toEqual([{ field: 'cpu.user', labels: {} }]);
});

test('an alert belongs to charts of its measurement and its thing', () => {
  expect(isAbout('pressure.cpu.some.avg60', {}, 'pressure', 'cpu.some.avg10')).toBe(true);
  expect(isAbout('pressure.cpu.some.avg60', {}, 'pressure', 'io.some.avg10')).toBe(false);
  expect(isAbout('disk.devices.queue_depth', { device: 'sda' }, 'disk', 'devices.sda.queue_depth')).toBe(
    true,
  );
  expect(isAbout('disk.devices.queue_depth', { device: 'sdb' }, 'disk', 'devices.sda.queue_depth')).toBe(
    false,
  );
});

test('marks say which rule, and open alerts reach to now', () => {
  const raised = {
    id: 'x',
    host: 'h',
    host_name: 'web1',
    rule: 'busy',
    field: 'cpu.usage_percent',
    labels: {},
    severity: 'critical',
    raised_at: '2026-11-29T11:00:00Z',
    cleared_at: null,
    value: 95,
    peak: 99,
    flapping: false,
  };
  const from = Date.parse('2026-11-29T10:00:00Z');
  const span = { from, to: from + 7_200_000 };
  const [mark] = marksFor([raised], ['cpu.usage_percent'], span, span.to);
  expect(mark).toMatchObject({ title: 'Alert busy', tone: 'bad', from: from + 3_600_000, to: span.to });
  expect(marksFor([raised], ['cpu.user'], span, span.to)).toEqual([]);
});

test('a draft fits its field, and its name is free', () => {
  const rule = draftOf({ field: 'block_io.devices.read.histogram', labels: { device: 'sda' } }, new Set());
  expect(rule).toMatchObject({ function: 'quantile', quantile: 0.99, labels: { device: 'sda' } });
  expect(rule.summary).toContain('{device}');
  expect(rule.name).toMatch(/^[a-z0-9-]{1,64}$/);
  expect(draftOf({ field: 'cpu.interrupts', labels: {} }, new Set()).function).toBe('rate');
  expect(freeName('a', new Set(['a', 'a-2']))).toBe('a-3');
});

const busy: AlertRule = { name: 'busy', field: 'cpu.usage_percent', warning: { above: 80, clear: 60 } };

test('levels move together, turn around and go', () => {
  expect(withRaise(busy, 'warning', 40).warning).toEqual({ above: 40, clear: 30 });
  expect(withRaise(busy, 'warning', null).warning).toBeUndefined();
  expect(withRaise(busy, 'critical', 95).critical).toEqual({ above: 95 });
  expect(withDirection(busy, 'below').warning).toEqual({ below: 80 });
  expect(raiseOf(busy, 'critical')).toBeNull();
  expect(withFunction({ ...busy, level: 3, window: '1m' }, 'last')).toEqual({ ...busy, function: 'last' });
  expect(withFunction(busy, 'forecast')).toMatchObject({ line: 100, window: '5m' });
});

test('a level is suggested above what was usual', () => {
  expect(suggested([10, 20, null, 10], '%')).toBe(24);
  expect(suggested([100], '%')).toBe(95);
  expect(suggested([], '%')).toBe(80);
});

const preview: AlertPreview = {
  start_time: '2026-11-22T12:00:00Z',
  end_time: '2026-11-29T12:00:00Z',
  interval: '5m',
  raised: 0,
  firing_seconds: 0,
  episodes: [],
  courses: [],
  spacing_seconds: 300,
  unit: '%',
  things: 1,
  hosts: 1,
  is_cut: false,
  has_data: true,
  state: null,
  reason: null,
};

test('a preview says how often and how long', () => {
  const tried = { ...preview, courses: [{ host: 'h', host_name: 'web1', labels: {}, values: [1] }] };
  expect(verdictOf(preview, '7 days')).toBe('Too little is stored of the last 7 days to try it.');
  expect(verdictOf(tried, '7 days')).toBe('It would not have fired in the last 7 days.');
  expect(verdictOf({ ...preview, has_data: false }, '7 days')).toBe('Nothing is stored of the last 7 days.');
  const episode = {
    id: '1',
    host: 'h',
    host_name: 'web1',
    rule: 'busy',
    labels: {},
    severity: 'warning',
    raised_at: '2026-11-29T11:00:00Z',
    cleared_at: '2026-11-29T11:12:00Z',
    value: 90,
    peak: 95,
    flapping: false,
  };
  const open = { ...episode, raised_at: '2026-11-29T11:55:00Z', cleared_at: null };
  const said = verdictOf({ ...preview, raised: 3, episodes: [episode, open] }, '7 days');
  expect(said).toBe('It would have fired 3 times in the last 7 days, longest 12 min.');
});

test('amounts are typed with their units', () => {
  for (const [text, unit, value] of [
    ['200 ms', 'ns', 2e8],
    ['1h 30min', 's', 5400],
    ['1.5 GiB', 'bytes', 1.5 * 1024 ** 3],
    ['20 MiB/s', 'bytes/s', 20 * 1024 ** 2],
    ['80 %', '%', 80],
    ['80', '%', 80],
    ['1,5', '', 1.5],
    ['-3', '', -3],
    ['12k', '1/s', 12_000],
  ] as const) {
    expect(parseAmount(text, unit), text).toBe(value);
  }
  for (const [text, unit] of [
    ['', '%'],
    ['much', '%'],
    ['5 apples', 's'],
    ['5 5x!', ''],
  ] as const) {
    expect(parseAmount(text, unit), text).toBeNull();
  }
  expect(amountText(2e8, 'ns')).toBe('200 ms');
  expect(amountText(null, 'ns')).toBe('');
});

test('what is shown of an amount is read back', () => {
  for (const unit of ['ns', 's', 'bytes', 'bytes/s', '%', '', '1/s', 'ms/s', 'KiB/s', 'ms', 'µs']) {
    for (const value of [0, 1, 90, 1500, 86_400]) {
      const read = parseAmount(amountText(value, unit), unit);
      expect(read, `${amountText(value, unit)} of ${unit}`).not.toBeNull();
      expect(Math.abs((read ?? NaN) - value)).toBeLessThanOrEqual(Math.abs(value) * 0.01);
    }
  }
});

test('labels and windows are written as people do', () => {
  expect(labelsIn(' device=sdb, mountpoint=/var* ')).toEqual({ device: 'sdb', mountpoint: '/var*' });
  expect(labelsText({ device: 'sdb' })).toBe('device=sdb');
  expect(() => labelsIn('sdb')).toThrow('device=sdb');
  const at = { start: '02:00', end: '04:00', zone: 'Europe/Berlin' };
  expect(windowText({ days: ['sun', 'mon'], ...at })).toBe('Mon, Sun 02:00 – 04:00 Europe/Berlin');
  expect(windowText({ days: ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'], ...at })).toMatch(/^Daily/);
});
