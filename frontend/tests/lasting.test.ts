import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { effectScope, nextTick, shallowRef } from 'vue';
import { useLasting } from '@/composables/useLasting';

describe('what goes on', () => {
  const scope = effectScope();
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    scope.stop();
    vi.useRealTimers();
  });

  it('is lasting after a while, and until it ends', async () => {
    const goesOn = shallowRef(true);
    const lasting = scope.run(() => useLasting(() => goesOn.value))!;
    const after = async (ms: number) => {
      await nextTick();
      await vi.advanceTimersByTimeAsync(ms);
      return lasting.value;
    };
    expect([await after(200), await after(200)]).toEqual([false, true]);
    goesOn.value = false;
    expect(await after(0)).toBe(false);
    // Two short ones are not a long one.
    goesOn.value = true;
    expect(await after(200)).toBe(false);
    goesOn.value = false;
    await nextTick();
    goesOn.value = true;
    expect(await after(200)).toBe(false);
  });
});
