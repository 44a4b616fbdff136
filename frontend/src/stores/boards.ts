/** The user's saved boards: read when they are wanted, since other windows may change them. */
import { defineStore } from 'pinia';
import { shallowRef } from 'vue';
import * as api from '@/api/boards';
import { toApiError } from '@/api/http';
import type { Panel } from '@/series/board';

export interface Board {
  name: string;
  panels: readonly Panel[];
}

export const useBoardsStore = defineStore('boards', () => {
  /** By name; null until they are known. */
  const boards = shallowRef<readonly Board[] | null>(null);
  const error = shallowRef<string | null>(null);

  async function load(): Promise<void> {
    try {
      const saved = await api.boards();
      boards.value = saved.map(({ name, panels }) => ({
        name,
        panels: panels.map(({ metric_type, fields }) => ({ metric: metric_type, fields })),
      }));
      error.value = null;
    } catch (caught) {
      error.value = toApiError(caught).message;
    }
  }

  async function save(name: string, panels: readonly Panel[]): Promise<void> {
    const content = panels.map(({ metric, fields }) => ({ metric_type: metric, fields: [...fields] }));
    await api.saveBoard(name, { panels: content });
    await load();
  }

  async function remove(name: string): Promise<void> {
    await api.deleteBoard(name);
    await load();
  }

  return { boards, error, load, save, remove };
});
