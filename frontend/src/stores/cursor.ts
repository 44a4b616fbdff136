/** The moment under the pointer, shared by every chart on the page. */
import { defineStore } from 'pinia';
import { shallowRef } from 'vue';

export const useCursorStore = defineStore('cursor', () => {
  const time = shallowRef<number | null>(null);
  return { time };
});
