/** Events on the machine, for charts to mark: single ones, and runs of repeated ones merged into episodes. */
import type { Documents, MachineEvent } from '@/api/types';
import { format } from '@/format/units';
import { plain } from './who/group';

/** A cgroup at its quota is reported at every tick: repetitions this close together form one episode. */
const MERGED_KIND = 'cgroup_throttled';
const MERGE_WITHIN_MS = 30_000;

export type EventTone = 'bad' | 'warn' | 'plain';

export interface Episode {
  /** Events with the same key may be merged. */
  key: string;
  kind: string;
  tone: EventTone;
  title: string;
  /** The process or cgroup it happened to. */
  subject: string;
  from: number;
  to: number;
  count: number;
  /** Time a cgroup was throttled. */
  throttledMs: number;
  /** Whose it is, as far as it is known. */
  pid: number | null;
  comm: string | null;
  cgroup: string | null;
}

const kinds: Record<string, { tone: EventTone; title: string }> = {
  oom_kill: { tone: 'bad', title: 'Killed by the OOM killer' },
  cgroup_throttled: { tone: 'warn', title: 'Throttled by its CPU quota' },
  perfwatch_started: { tone: 'plain', title: 'PerfWatch started' },
  machine_started: { tone: 'plain', title: 'Machine booted' },
};

function subjectOf(event: MachineEvent): string {
  if (typeof event.pid === 'number') return `${event.comm ?? 'a process'} (${event.pid.toString()})`;
  return event.cgroup ?? event.comm ?? '';
}

/** `version 1.42, noted by admin`. */
function labelsOf({ labels, username }: MachineEvent): string {
  const parts = Object.entries(labels ?? {}).map(([name, value]) => `${name} ${value}`);
  return plain([...parts, ...(username ? [`noted by ${username}`] : [])].join(', '));
}

function episodeOf(event: MachineEvent): Episode | null {
  const time = Date.parse(event.timestamp);
  if (!Number.isFinite(time)) return null;
  const isNoted = event.kind === 'mark';
  const subject = isNoted ? labelsOf(event) : subjectOf(event);
  const known: { tone: EventTone; title: string } = kinds[event.kind] ?? {
    tone: 'plain',
    title: event.kind.replaceAll('_', ' '),
  };
  const { tone, title } = isNoted ? { tone: known.tone, title: plain(event.text ?? '') } : known;
  return {
    key: `${event.kind} ${isNoted ? (event.id ?? title).toString() : subject}`,
    kind: event.kind,
    tone,
    title,
    subject,
    from: time,
    to: time,
    count: 1,
    throttledMs: event.throttled_ms ?? 0,
    pid: event.pid ?? null,
    comm: event.comm ?? null,
    cgroup: event.cgroup ?? null,
  };
}

/** Builds episodes from events; an event delivered twice counts once. */
export class EpisodeTrack {
  private found: Episode[] = [];
  private readonly newest = new Map<string, Episode>();

  constructor(private readonly capacity = 500) {}

  get list(): readonly Episode[] {
    return this.found;
  }

  /** Whether anything was new; if so, `list` is a new array. */
  push(events: readonly MachineEvent[]): boolean {
    const before = this.found;
    for (const event of events) this.add(event);
    return this.found !== before;
  }

  /** Drops what happened from `time` on; an episode that began before ends before. */
  rewind(time: number): void {
    if (!this.found.some(({ to }) => to >= time)) return;
    this.found = this.found
      .filter(({ from }) => from < time)
      .map((one) => (one.to < time ? one : { ...one, to: Math.max(one.from, time - 1) }));
    this.newest.clear();
    for (const one of this.found) this.newest.set(one.key, one);
  }

  clear(): void {
    this.found = [];
    this.newest.clear();
  }

  private add(event: MachineEvent): void {
    const one = episodeOf(event);
    if (one === null) return;
    const last = this.newest.get(one.key);
    if (last !== undefined && one.to <= last.to) return;
    let rest = this.found;
    if (one.kind === MERGED_KIND && last !== undefined && one.from - last.to <= MERGE_WITHIN_MS) {
      one.from = last.from;
      one.count += last.count;
      one.throttledMs += last.throttledMs;
      rest = rest.filter((other) => other !== last);
    }
    this.newest.set(one.key, one);
    this.found = [...rest, one].slice(-this.capacity);
    if (this.newest.size > this.capacity) this.newest.clear();
  }
}

export function episodesOf(events: readonly MachineEvent[]): readonly Episode[] {
  const track = new EpisodeTrack();
  track.push(events.toSorted((a, b) => Date.parse(a.timestamp) - Date.parse(b.timestamp)));
  return track.list;
}

/** The events of one tick. Without eBPF the OOM killer's victim is unknown, but the kernel still counts kills. */
export function eventsIn(data: Documents, timestamp: string): MachineEvent[] {
  const events = [...(data.cpu?.events ?? []), ...(data.processes?.events ?? [])];
  const kills = data.memory_bandwidth?.oom_kill_per_sec;
  if (data.processes?.events === undefined && typeof kills === 'number' && kills > 0)
    events.push({ kind: 'oom_kill', timestamp });
  return events;
}

export function within(episodes: readonly Episode[], span: { from: number; to: number }): Episode[] {
  return episodes.filter((one) => one.to >= span.from && one.from <= span.to);
}

/** `build (17)`, `/jobs/build, 53 times, 4.2 s in total`. */
export function detailOf(episode: Episode): string {
  const parts = episode.subject === '' ? [] : [episode.subject];
  if (episode.count > 1) parts.push(`${episode.count.toString()} times`);
  if (episode.throttledMs > 0) parts.push(`${format(episode.throttledMs, 'ms')} in total`);
  return parts.join(', ');
}
