/** Kinds of channels with what each needs, and a channel as it is typed. */
import type { AlertChannel, AlertChannelKind, ListedAlertChannel } from '@/api/types';
import { labelsIn, labelsText } from './alertSilences';

type TextKey = 'to' | 'from' | 'user';
export type SecretKey = 'url' | 'token' | 'key' | 'password';

/** One part of a channel, as a kind calls it. */
export interface ChannelField {
  key: TextKey | SecretKey;
  label: string;
  hint?: string;
  placeholder?: string;
  isOptional?: true;
}

interface Kind {
  label: string;
  fields: readonly ChannelField[];
  /** What a template makes; none if there can be none. */
  template: string | null;
}

const TEXT = 'Instead of the usual text of a message.';

/** What a message is sent to, unless the channel says otherwise. */
const server = (placeholder: string): ChannelField => ({
  key: 'url',
  label: 'Server',
  hint: `Empty: ${placeholder}`,
  placeholder,
  isOptional: true,
});
const incoming = (placeholder: string): ChannelField => ({ key: 'url', label: 'Webhook URL', placeholder });

export const kinds: Record<AlertChannelKind, Kind> = {
  email: {
    label: 'Email',
    fields: [
      {
        key: 'url',
        label: 'Mail server',
        hint: 'smtp:// requires STARTTLS, smtps:// is TLS from the start, smtp+plain:// is not encrypted.',
        placeholder: 'smtp://mail.example.org',
      },
      { key: 'from', label: 'From', placeholder: 'PerfWatch <perfwatch@example.org>' },
      { key: 'to', label: 'To', hint: 'Addresses, comma-separated', placeholder: 'ops@example.org' },
      { key: 'user', label: 'User', hint: 'If the mail server wants a password', isOptional: true },
      { key: 'password', label: 'Password', isOptional: true },
    ],
    template: TEXT,
  },
  webhook: {
    label: 'Webhook',
    fields: [
      { key: 'url', label: 'URL', placeholder: 'https://hooks.example.org/perfwatch' },
      {
        key: 'key',
        label: 'Signing key',
        hint: 'Optional. Signs the body: HMAC-SHA256 in x-perfwatch-signature.',
        isOptional: true,
      },
      { key: 'token', label: 'Bearer token', isOptional: true },
    ],
    template: 'The whole body. Empty: JSON with all events.',
  },
  alertmanager: {
    label: 'Alertmanager',
    fields: [
      { key: 'url', label: 'URL', placeholder: 'http://alertmanager.example.org:9093' },
      { key: 'token', label: 'Bearer token', isOptional: true },
    ],
    template: null,
  },
  ntfy: {
    label: 'ntfy',
    fields: [
      { key: 'to', label: 'Topic', hint: 'Whoever knows its name can read it.' },
      { key: 'token', label: 'Access token', isOptional: true },
      server('https://ntfy.sh'),
    ],
    template: TEXT,
  },
  slack: {
    label: 'Slack',
    fields: [incoming('https://hooks.slack.com/services/…')],
    template: TEXT,
  },
  discord: {
    label: 'Discord',
    fields: [incoming('https://discord.com/api/webhooks/…')],
    template: TEXT,
  },
  telegram: {
    label: 'Telegram',
    fields: [
      { key: 'token', label: 'Bot token', hint: 'From @BotFather' },
      {
        key: 'to',
        label: 'Chat ID',
        hint: 'Of a chat or group that the bot is in',
        placeholder: '-1001234567890',
      },
      server('https://api.telegram.org'),
    ],
    template: TEXT,
  },
  matrix: {
    label: 'Matrix',
    fields: [
      { key: 'url', label: 'Home server', placeholder: 'https://matrix.example.org' },
      {
        key: 'to',
        label: 'Room ID',
        hint: 'Of a room that the account has joined',
        placeholder: '!abc:example.org',
      },
      { key: 'token', label: 'Access token' },
    ],
    template: TEXT,
  },
  pagerduty: {
    label: 'PagerDuty',
    fields: [
      { key: 'token', label: 'Integration key', hint: 'Of a service’s Events API v2 integration' },
      server('https://events.pagerduty.com'),
    ],
    template: TEXT,
  },
  opsgenie: {
    label: 'Opsgenie',
    fields: [{ key: 'token', label: 'API key' }, server('https://api.opsgenie.com')],
    template: TEXT,
  },
  gotify: {
    label: 'Gotify',
    fields: [
      { key: 'url', label: 'Server', placeholder: 'https://gotify.example.org' },
      { key: 'token', label: 'Application token' },
    ],
    template: TEXT,
  },
  pushover: {
    label: 'Pushover',
    fields: [
      { key: 'to', label: 'User key', hint: 'Of a user or group' },
      { key: 'token', label: 'API token', hint: 'Of an application' },
      server('https://api.pushover.net'),
    ],
    template: TEXT,
  },
};

export const kindNames = Object.keys(kinds) as AlertChannelKind[];

const secretKeys: readonly string[] = ['url', 'token', 'key', 'password'] satisfies SecretKey[];
export const isSecret = (key: string): key is SecretKey => secretKeys.includes(key);

/** A channel as it is typed. Secrets are empty unless they are to change. */
export interface ChannelDraft extends Record<TextKey | SecretKey, string> {
  name: string;
  kind: AlertChannelKind;
  off: boolean;
  severity: '' | 'critical';
  rules: string;
  labels: string;
  max_per_hour: string;
  template: string;
}

export const newChannel: ChannelDraft = {
  name: '',
  kind: 'email',
  off: false,
  severity: '',
  rules: '',
  labels: '',
  max_per_hour: '',
  template: '',
  to: '',
  from: '',
  user: '',
  url: '',
  token: '',
  key: '',
  password: '',
};

export function draftOfChannel(channel: ListedAlertChannel): ChannelDraft {
  const { name, kind, off, severity, rules, labels, max_per_hour, template, to, from, user } = channel;
  return {
    ...newChannel,
    name,
    kind,
    off: off === true,
    severity: severity === 'critical' ? severity : '',
    rules: rules ?? '',
    labels: labelsText(labels ?? {}),
    max_per_hour: max_per_hour?.toString() ?? '',
    template: template ?? '',
    to: to ?? '',
    from: from ?? '',
    user: user ?? '',
  };
}

/** What is sent: only what its kind has, and of secrets those that were typed. */
export function channelOf(draft: ChannelDraft): AlertChannel {
  const { name, kind, off, severity, rules, labels, max_per_hour: most, template } = draft;
  const typed = kinds[kind].fields
    .map(({ key }): [string, string] => [key, draft[key].trim()])
    .filter(([, text]) => text !== '');
  const patterns = labelsIn(labels);
  return {
    name: name.trim(),
    kind,
    ...(off && { off }),
    ...(severity !== '' && { severity }),
    ...(rules.trim() !== '' && { rules: rules.trim() }),
    ...(Object.keys(patterns).length > 0 && { labels: patterns }),
    ...(most.trim() !== '' && { max_per_hour: Number(most) }),
    ...(kinds[kind].template !== null && template.trim() !== '' && { template }),
    ...Object.fromEntries(typed),
  };
}

/** What a field says of itself; `stored`: the channel has this secret already, for the same kind. */
export function fieldHint(field: ChannelField, stored: boolean, isMoved: boolean): string {
  if (!stored) return field.hint ?? (field.isOptional ? 'Optional' : '');
  // It would be sent to whoever is there.
  if (isMoved && field.key !== 'url') return 'With another URL it has to be given again.';
  return 'Stored; leave empty to keep it.';
}

/** Which alerts it gets: `critical · disk-* · device=sda`. */
export function getsText({ severity, rules, labels }: AlertChannel): string {
  const parts = [severity === 'critical' ? 'critical only' : '', rules ?? '', labelsText(labels ?? {})];
  return parts.filter((part) => part !== '').join(' · ') || 'everything';
}

/** How it is doing; `at` is when something was delivered last. */
export function healthOf(channel: ListedAlertChannel): { text: string; tone: string; at: number | null } {
  const at = channel.delivered_at ? Date.parse(channel.delivered_at) : null;
  if (channel.problems.length > 0) return { text: 'cannot be used', tone: 'text-bad', at };
  if (channel.off === true) return { text: 'off', tone: 'text-dim', at };
  if (channel.failing) return { text: 'failing', tone: 'text-bad', at };
  if (channel.is_held) return { text: 'limit reached', tone: 'text-warn', at };
  return at === null ? { text: 'ready', tone: 'text-dim', at } : { text: 'delivers', tone: 'text-ok', at };
}

/** Why it cannot be changed here. */
export function lockedText({ name, origin, place }: ListedAlertChannel): string | null {
  if (origin === 'api') return null;
  return origin === 'file'
    ? `${name} is set in ${place ?? 'a file'}; change it there.`
    : `${name} is one of the server’s settings; change it there.`;
}

/** What was added to a channel when it was listed, and how it is doing, is not part of it. */
const kept = [
  'name',
  'kind',
  'off',
  'severity',
  'rules',
  'labels',
  'to',
  'from',
  'user',
  'template',
  'max_per_hour',
];

/** The channel itself, switched on or off. Its secrets stay. */
export function switchedChannel(listed: ListedAlertChannel, off: boolean): AlertChannel {
  const channel = Object.fromEntries(Object.entries(listed).filter(([key]) => kept.includes(key)));
  return { ...(channel as AlertChannel), off };
}
