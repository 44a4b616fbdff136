/** The status of each collector and probe: why a value is missing and how to enable it. */
import { defineStore } from 'pinia';
import { shallowRef } from 'vue';
import { toApiError } from '@/api/http';
import * as api from '@/api/server';
import type { Findings, Source } from '@/api/types';

export const useSourcesStore = defineStore('sources', () => {
  const sources = shallowRef<Source[]>([]);
  const error = shallowRef<string | null>(null);

  async function load(): Promise<void> {
    try {
      sources.value = await api.sources();
      error.value = null;
    } catch (caught) {
      error.value = toApiError(caught).message;
    }
  }

  const findings = shallowRef<Findings | null>(null);
  const doctorError = shallowRef<string | null>(null);

  async function diagnose(): Promise<void> {
    try {
      findings.value = await api.doctor();
      doctorError.value = null;
    } catch (caught) {
      doctorError.value = toApiError(caught).message;
    }
  }

  function of(metricType: string): Source | undefined {
    const all = sources.value.filter((source) => source.metric_type === metricType);
    return all.find((source) => source.state !== 'active') ?? all[0];
  }

  /** Whether no source measures this type; its document then has no values. */
  function isOff(metricType: string): boolean {
    const all = sources.value.filter((source) => source.metric_type === metricType);
    return (
      all.length > 0 && all.every((source) => source.state === 'unavailable' || source.state === 'disabled')
    );
  }

  return { sources, error, load, of, isOff, findings, doctorError, diagnose };
});
