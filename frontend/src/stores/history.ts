/** History as the page asked for it. Ranges that are over do not change, so their answers are kept a while. */
import { defineStore } from 'pinia';
import { markRaw } from 'vue';
import * as api from '@/api/history';
import type { PointsQuery } from '@/api/history';
import { toApiError } from '@/api/http';
import type { DataPoint, History } from '@/api/types';

/** Answers kept; each is at most a few hundred kilobytes. */
const KEPT = 24;
/** Late samples are stored within this time. */
const SETTLES_AFTER_MS = 120_000;

export type { PointsQuery } from '@/api/history';

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

  /** A document of the type, to see which fields there are; null where nothing was ever stored. */
  async function sample(metricType: string, from: number, to: number): Promise<DataPoint | null> {
    return await api.sample(metricType, from, to);
  }

  return {
    points,
    sample,
    metricTypes: api.metricTypes,
    changes: api.changes,
    exportFile: api.exportFile,
    explain,
  };
});

/** What went wrong in a sentence, or null when the reader has simply moved on. */
function explain(error: unknown): string | null {
  const { name } = error as { name?: string };
  return name === 'CanceledError' || name === 'AbortError' ? null : toApiError(error).message;
}
