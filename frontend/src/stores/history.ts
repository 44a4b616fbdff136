/** History as the page asked for it. Ranges that are over do not change, so their answers are kept a while. */
import { defineStore } from 'pinia';
import { markRaw } from 'vue';
import * as api from '@/api/history';
import type { PointsQuery, Span } from '@/api/history';
import { toApiError } from '@/api/http';
import type { DataPoint, Documents, History, MachineEvent } from '@/api/types';
import { eventsIn } from '@/series/events';

/** Answers kept; each is at most a few hundred kilobytes. */
const KEPT = 24;
/** Late samples are stored within this time. */
const SETTLES_AFTER_MS = 120_000;

export type { PointsQuery, ProcessQuery } from '@/api/history';

export const useHistoryStore = defineStore('history', () => {
  const kept = markRaw(new Map<string, History>());

  async function points(query: PointsQuery, signal: AbortSignal): Promise<History> {
    const key = JSON.stringify(query);
    const known = kept.get(key);
    if (known !== undefined) return known;
    const answer = await api.points(query, signal);
    if (query.to < Date.now() - SETTLES_AFTER_MS) {
      kept.set(key, answer);
      const oldest = kept.keys().next().value;
      if (kept.size > KEPT && oldest !== undefined) kept.delete(oldest);
    }
    return answer;
  }

  /** What happened in a range: OOM kills, throttled cgroups, restarts. */
  async function events(span: Span, signal: AbortSignal): Promise<MachineEvent[]> {
    const ask = async (metricType: keyof Documents, field: string): Promise<Documents[]> => {
      const query = { metricType, ...span, fields: [field], interval: eventInterval(span) };
      const { data_points } = await points(query, signal);
      // The most of a point's samples: one kill among many quiet ticks.
      return data_points.map(({ timestamp, data, max }) => ({
        [metricType]: { ...data, ...max, _timestamp: timestamp },
      }));
    };
    const [cpu, processes] = await Promise.all([ask('cpu', 'events'), ask('processes', 'events')]);
    // Without eBPF nobody tells who was killed; the kernel's count does.
    const counted = processes.length > 0 ? [] : await ask('memory_bandwidth', 'oom_kill_per_sec');
    return [...cpu, ...processes, ...counted].flatMap((documents) =>
      eventsIn(documents, documents.memory_bandwidth?._timestamp ?? ''),
    );
  }

  /** A document of the type, to see which fields there are; null where nothing was ever stored. */
  async function sample(metricType: string, from: number, to: number): Promise<DataPoint | null> {
    return await api.sample(metricType, from, to);
  }

  return {
    points,
    events,
    sample,
    metricTypes: api.metricTypes,
    changes: api.changes,
    process: api.process,
    exportFile: api.exportFile,
    explain,
  };
});

/** Points hold all events of their time, so coarse ones do; they are the cheaper ones to ask for. */
function eventInterval({ from, to }: Span): string {
  const hours = (to - from) / 3_600_000;
  if (hours <= 12) return '1m';
  if (hours <= 3 * 24) return '5m';
  return hours <= 40 * 24 ? '1h' : '1d';
}

/** What went wrong in a sentence, or null when the reader has simply moved on. */
function explain(error: unknown): string | null {
  const { name } = error as { name?: string };
  return name === 'CanceledError' || name === 'AbortError' ? null : toApiError(error).message;
}
