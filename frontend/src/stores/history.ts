/** Queries to the history API. Past ranges do not change, so their responses are cached. */
import { defineStore } from 'pinia';
import { markRaw } from 'vue';
import * as across from '@/api/acrossHosts';
import * as api from '@/api/history';
import type { ColumnsQuery, PointsQuery, Span } from '@/api/history';
import { toApiError } from '@/api/http';
import { KnownColumns, typesIn } from '@/api/knownColumns';
import { turns } from '@/api/turns';
import type { ColumnsOfType, DataPoint, Documents, History, MachineEvent } from '@/api/types';
import { eventsIn } from '@/series/events';
import { groupIn } from '@/series/hosts';
import { Stretch } from '@/series/stretch';
import { useClockStore } from './clock';
import { useFleetStore } from './fleet';

/** Cached responses, for a few steps back; each is at most a few hundred kilobytes. */
const CACHE_SIZE = 144;
/** By then late samples have been stored. */
const SETTLES_AFTER_MS = 120_000;
/** Members of a group that it is known by; more would take long. */
const MAX_MEMBERS = 24;
/** Points asked for at once, so that a large board leaves room for other questions. */
const AT_ONCE = 6;

export type { ColumnsQuery, PointsQuery, RankingQuery, UsageQuery, Whose } from '@/api/history';

export const useHistoryStore = defineStore('history', () => {
  const clock = useClockStore();
  const fleet = useFleetStore();
  const cache = markRaw(new Map<string, History>());
  const knownColumns = markRaw(new KnownColumns());
  const inTurn = turns(AT_ONCE);

  /** Keeps an answer about a range in which nothing is added any more. */
  function remember(key: string, { to }: Span, answer: History): void {
    if (to >= clock.now() - SETTLES_AFTER_MS) return;
    cache.set(key, answer);
    const oldest = cache.keys().next().value;
    if (cache.size > CACHE_SIZE && oldest !== undefined) cache.delete(oldest);
  }

  async function points(query: PointsQuery, signal: AbortSignal): Promise<History> {
    const key = JSON.stringify([fleet.chosen, query]);
    const known = cache.get(key);
    if (known !== undefined) return known;
    const group = groupIn(query.host ?? '');
    const answer =
      group === null
        ? await inTurn(() => api.points(query, signal), signal)
        : await pointsOfAll(query, group, signal);
    remember(key, query, answer);
    return answer;
  }

  /**
   * Fields of several metric types: `each` is called with those of one type as soon as they are there. What an earlier
   * answer has is not asked for again.
   */
  async function columns(
    query: ColumnsQuery,
    each: (columns: ColumnsOfType) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const host = fleet.chosen;
    const { known, rest } = knownColumns.split(host, query);
    const found: ColumnsOfType[] = [];
    const keep = (one: ColumnsOfType): void => {
      found.push(one);
      each(one);
    };
    const asked = typesIn(rest);
    for (const [type, line] of known) if (!asked.has(type)) keep(line);
    if (asked.size === 0) return;
    const join = (one: ColumnsOfType): void => {
      const { whole } = one;
      keep({ ...(known.get(one.metric_type) ?? one), ...(whole && { whole }) });
    };
    await inTurn(() => api.columns(rest, join, signal), signal);
    knownColumns.remember(host, query, found, clock.now() - SETTLES_AFTER_MS);
  }

  /** The same as series, by metric type; `ms` is the interval. */
  async function stretches(
    query: ColumnsQuery,
    ms: number,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, Stretch>> {
    const found = new Map<string, Stretch>();
    await columns(query, (one) => found.set(one.metric_type, new Stretch(one, ms)), signal);
    return found;
  }

  /** The points of a group of machines as those of one. */
  async function pointsOfAll(
    query: PointsQuery,
    group: { label: string; value: string },
    signal: AbortSignal,
  ): Promise<History> {
    if (fleet.hosts === null) await fleet.load();
    const members = fleet.membersOf(group).slice(0, MAX_MEMBERS);
    const asked = members.map((host) => inTurn(() => api.points({ ...query, host }, signal), signal));
    const [[first, ...rest], { together }] = await Promise.all([
      Promise.all(asked),
      import('@/series/together'),
    ]);
    if (first === undefined) throw new Error('No other host has this label.');
    return { ...first, data_points: together([first, ...rest].map((one) => one.data_points)) };
  }

  /** Events in a range: OOM kills, throttled cgroups, restarts, and what was noted. */
  async function events(span: Span, signal: AbortSignal): Promise<MachineEvent[]> {
    const load = async (metricType: keyof Documents, field: string): Promise<Documents[]> => {
      const query = { metricType, ...span, fields: [field], interval: eventInterval(span) };
      const { data_points } = await points(query, signal);
      // The maximum of a bucket's samples: one kill among many quiet ticks.
      return data_points.map(({ timestamp, data, max }) => ({
        [metricType]: { ...data, ...max, _timestamp: timestamp },
      }));
    };
    const [cpu, processes, noted] = await Promise.all([
      load('cpu', 'events'),
      load('processes', 'events'),
      api.noted(span, signal),
    ]);
    // Without eBPF only the kernel's count of kills is known.
    const counted = processes.length > 0 ? [] : await load('memory_bandwidth', 'oom_kill_per_sec');
    const measured = [...cpu, ...processes, ...counted].flatMap((documents) =>
      eventsIn(documents, documents.memory_bandwidth?._timestamp ?? ''),
    );
    return [...measured, ...noted];
  }

  /** A document of this type, to find its fields; null if none was ever stored. */
  async function sample(metricType: string, from: number, to: number): Promise<DataPoint | null> {
    return await api.sample(metricType, from, to);
  }

  return {
    points,
    columns,
    stretches,
    events,
    noted: api.noted,
    sample,
    metricTypes: api.metricTypes,
    changes: api.changes,
    explanation: api.explanation,
    usage: api.usage,
    ranking: api.ranking,
    exportFile: api.exportFile,
    seriesOfHosts: across.seriesOfHosts,
    changesOfHosts: across.changesOfHosts,
    explain,
  };
});

/** Every point carries all events of its bucket, so coarse ones suffice and are cheaper. */
function eventInterval({ from, to }: Span): string {
  const hours = (to - from) / 3_600_000;
  if (hours <= 12) return '1m';
  if (hours <= 3 * 24) return '5m';
  return hours <= 40 * 24 ? '1h' : '1d';
}

/** The error message, or null if the request was cancelled. */
function explain(error: unknown): string | null {
  const { name } = error as { name?: string };
  return name === 'AbortError' ? null : toApiError(error).message;
}
