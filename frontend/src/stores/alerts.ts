/** What fires or is pending now; its history and rules are read when they are looked at. */
import { defineStore } from 'pinia';
import { computed, shallowRef } from 'vue';
import * as api from '@/api/alerts';
import { toApiError } from '@/api/http';
import type { Alert, AlertEpisode } from '@/api/types';
import type { Raised } from '@/series/alertMarks';

export type { InputProblem } from '@/api/http';

/** Marks on charts are as old as this at most. */
const MARKS_MS = 60_000;

export const useAlertsStore = defineStore('alerts', () => {
  /** The worst first; null until known. */
  const current = shallowRef<readonly Alert[] | null>(null);
  const error = shallowRef<string | null>(null);
  const mayAcknowledge = shallowRef(false);
  /** They are of the hosts of a fleet; which hub evaluates them, if any. */
  const isFleet = shallowRef(false);
  const evaluatedBy = shallowRef<string | null>(null);
  /** Raised, and not silenced. */
  const firing = computed(() =>
    (current.value ?? []).filter(({ episode, silenced_by }) => episode && !silenced_by),
  );

  /** What charts mark: the alerts of the past, each with the field of its rule. */
  const raised = shallowRef<readonly Raised[]>([]);
  let marksAt = -Infinity;

  async function loadMarks(isNeeded = false): Promise<void> {
    const now = performance.now();
    if (!isNeeded && now - marksAt < MARKS_MS) return;
    marksAt = now;
    const { signal } = new AbortController();
    try {
      const episodes = await api.past(signal);
      const { rules } = episodes.length > 0 ? await api.rules(signal) : { rules: [] };
      const fields = new Map(rules.map(({ name, field }) => [name, field]));
      raised.value = episodes.flatMap((episode: AlertEpisode) => {
        const field = fields.get(episode.rule);
        return field === undefined ? [] : [{ ...episode, field }];
      });
    } catch {
      // Charts are shown without marks then.
    }
  }

  async function load(): Promise<void> {
    try {
      const before = JSON.stringify(current.value?.map(({ episode }) => episode?.id));
      const found = await api.current();
      current.value = found.alerts;
      mayAcknowledge.value = found.may_acknowledge;
      isFleet.value = found.is_fleet;
      evaluatedBy.value = found.evaluated_by ?? null;
      error.value = null;
      const isOther = before !== JSON.stringify(current.value.map(({ episode }) => episode?.id));
      if (isOther && marksAt > -Infinity) void loadMarks(true);
    } catch (caught) {
      error.value = toApiError(caught).message;
    }
  }

  async function acknowledge(episode: string, note: string): Promise<void> {
    await api.acknowledge(episode, note.trim() === '' ? null : note.trim());
    await load();
  }

  return {
    current,
    error,
    firing,
    mayAcknowledge,
    isFleet,
    evaluatedBy,
    load,
    acknowledge,
    past: api.past,
    rules: api.rules,
    putRule: api.putRule,
    deleteRule: api.deleteRule,
    preview: api.preview,
    exported: api.exported,
    imported: api.imported,
    silences: api.silences,
    addSilence: api.addSilence,
    endSilence: api.endSilence,
    windows: api.windows,
    addWindow: api.addWindow,
    removeWindow: api.removeWindow,
    raised,
    loadMarks,
    toApiError,
  };
});
