/** The time under the pointer, shared by all charts. */
import { defineStore } from 'pinia';
import { shallowRef } from 'vue';

export const useCursorStore = defineStore('cursor', () => {
  const time = shallowRef<number | null>(null);
  return { time };
});
