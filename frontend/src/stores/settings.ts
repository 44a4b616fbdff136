/** The server's configuration and retention: read on demand, changed by administrators. */
import { defineStore } from 'pinia';
import { shallowRef } from 'vue';
import { toApiError } from '@/api/http';
import * as api from '@/api/server';
import type {
  CleanupResult,
  Configuration,
  ConfigurationChange,
  Retention,
  RetentionChange,
  RetentionOverride,
} from '@/api/types';

export const useSettingsStore = defineStore('settings', () => {
  const configuration = shallowRef<Configuration | null>(null);
  const retention = shallowRef<Retention | null>(null);
  const error = shallowRef<string | null>(null);

  async function load(): Promise<void> {
    try {
      [configuration.value, retention.value] = await Promise.all([api.configuration(), api.retention()]);
      error.value = null;
    } catch (caught) {
      error.value = toApiError(caught).message;
    }
  }

  async function changeConfiguration(change: ConfigurationChange): Promise<void> {
    configuration.value = await api.changeConfiguration(change);
  }

  async function changeRetention(change: RetentionChange): Promise<void> {
    await api.changeRetention(change);
    retention.value = await api.retention();
  }

  async function cleanUp(): Promise<CleanupResult> {
    const result = await api.cleanUp();
    retention.value = await api.retention();
    return result;
  }

  const retentionOverrides = (): Promise<RetentionOverride[]> => api.retentionOverrides();
  const changeRetentionOverrides = (overrides: RetentionOverride[]): Promise<RetentionOverride[]> =>
    api.changeRetentionOverrides(overrides);

  return {
    configuration,
    retention,
    error,
    load,
    changeConfiguration,
    changeRetention,
    retentionOverrides,
    changeRetentionOverrides,
    cleanUp,
  };
});
