import { expect, test } from 'vitest';
import type { ListedAlertChannel } from '@/api/types';
import {
  channelOf,
  draftOfChannel,
  fieldHint,
  getsText,
  healthOf,
  isSecret,
  kindNames,
  kinds,
  lockedText,
  newChannel,
  switchedChannel,
} from '@/series/alertChannels';

const listed: ListedAlertChannel = {
  name: 'on-call',
  kind: 'webhook',
  severity: 'critical',
  rules: 'disk-*',
  labels: { device: 'sd?' },
  max_per_hour: 5,
  secrets: ['url', 'key'],
  destination: 'https://hooks.example.org',
  origin: 'api',
  place: null,
  updated_by: 'ann',
  updated_at: '2026-11-29T11:00:00Z',
  failing: null,
  delivered_at: null,
  is_held: false,
  problems: [],
};

test('a channel that is not changed sends no secret and nothing of what the server adds', () => {
  const { secrets, destination, origin, place, updated_by, updated_at, ...rest } = listed;
  const { failing, delivered_at, is_held, problems, ...channel } = rest;
  expect(channelOf(draftOfChannel(listed))).toEqual(channel);
  expect(switchedChannel(listed, true)).toEqual({ ...channel, off: true });
  expect([secrets, destination, origin, place, updated_by, updated_at].length).toBe(6);
  expect([failing, delivered_at, is_held, problems].length).toBe(4);
});

test('only what the kind has is sent, whatever was typed before', () => {
  const typed = {
    ...newChannel,
    name: ' a ',
    kind: 'ntfy',
    to: 'ops',
    from: 'x',
    password: 'y',
    template: ' ',
  } as const;
  expect(channelOf(typed)).toEqual({ name: 'a', kind: 'ntfy', to: 'ops' });
  expect(channelOf({ ...typed, kind: 'alertmanager', url: 'http://a', template: 't' })).toEqual({
    name: 'a',
    kind: 'alertmanager',
    url: 'http://a',
  });
  expect(() => channelOf({ ...typed, labels: 'device' })).toThrow('is no label');
});

test('every kind has a place to send to, and no key twice', () => {
  for (const kind of kindNames) {
    const keys = kinds[kind].fields.map(({ key }) => key);
    expect(new Set(keys).size, kind).toBe(keys.length);
    expect(keys, kind).toContain('url');
  }
  expect(['url', 'token', 'key', 'password', 'to', 'from', 'user'].filter(isSecret).length).toBe(4);
});

test('a stored secret says that it stays, and a new URL that it does not', () => {
  const [url, key] = kinds.webhook.fields;
  expect(fieldHint(key!, true, false)).toBe('Stored; leave empty to keep it.');
  expect(fieldHint(key!, true, true)).toBe('With another URL it has to be given again.');
  expect(fieldHint(url!, true, true)).toBe('Stored; leave empty to keep it.');
  expect(fieldHint(kinds.webhook.fields[2]!, false, false)).toBe('Optional');
});

test('the list says what a channel gets and how it is doing', () => {
  expect(getsText(listed)).toBe('critical only · disk-* · device=sd?');
  expect(getsText({ name: 'a', kind: 'slack' })).toBe('everything');
  const health = (change: Partial<ListedAlertChannel>): string => healthOf({ ...listed, ...change }).text;
  expect(health({})).toBe('ready');
  expect(health({ delivered_at: '2026-11-29T11:00:00Z' })).toBe('delivers');
  expect(health({ failing: 'no answer', is_held: true })).toBe('failing');
  expect(health({ off: true, failing: 'no answer' })).toBe('off');
  expect(health({ problems: ['url: slack needs it'] })).toBe('cannot be used');
  expect(lockedText(listed)).toBeNull();
  expect(lockedText({ ...listed, origin: 'file', place: '/a.toml:3' })).toContain('/a.toml:3');
  expect(lockedText({ ...listed, origin: 'settings' })).toContain('settings');
});
