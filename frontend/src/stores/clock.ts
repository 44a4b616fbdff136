/**
 * The server's clock as seen from this browser. Samples are stamped and queried by the server's time, so a range that
 * ends now must end at the server's now, even if one of the two clocks is wrong.
 */
import { defineStore } from 'pinia';
import { shallowRef } from 'vue';

/** Differences below this are delays, or not worth mentioning. */
const TOLERANCE_MS = 60_000;

export const useClockStore = defineStore('clock', () => {
  /** How far the server's clock is ahead, milliseconds; 0 within the tolerance. */
  const offsetMs = shallowRef(0);

  /** A tick stamped `time` has just been taken. */
  function observe(time: number, intervalMs: number): void {
    const difference = time - Date.now();
    const tolerance = Math.max(TOLERANCE_MS, 2 * intervalMs);
    if (Math.abs(difference) <= tolerance) offsetMs.value = 0;
    else if (Math.abs(difference - offsetMs.value) > tolerance) offsetMs.value = difference;
  }

  const now = (): number => Date.now() + offsetMs.value;

  return { offsetMs, observe, now };
});
