import { createPinia, setActivePinia } from 'pinia';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { effectScope, nextTick, type EffectScope } from 'vue';
import { ApiError } from '@/api/http';
import type { ProcessList, Snapshot } from '@/api/types';
import { useAllProcesses } from '@/composables/useAllProcesses';
import { useLiveStore } from '@/stores/live';

interface PendingRequest {
  signal: AbortSignal;
  answer: (list: ProcessList) => void;
  fail: (error: Error) => void;
}
const requests = vi.hoisted((): PendingRequest[] => []);
vi.mock('@/api/processes', () => ({
  allProcesses: (signal: AbortSignal) =>
    new Promise<ProcessList>((answer, fail) => requests.push({ signal, answer, fail })),
}));

const list = (count: number): ProcessList => ({
  _timestamp: '2026-01-01T00:00:00Z',
  count,
  truncated: false,
  command_lines: true,
  processes: [],
});

describe('the list of all processes', () => {
  let scope: EffectScope;
  let second = 0;
  beforeEach(() => {
    requests.length = 0;
    vi.useFakeTimers();
    setActivePinia(createPinia());
    scope = effectScope();
  });
  afterEach(() => {
    scope.stop();
    vi.restoreAllMocks();
    vi.useRealTimers();
  });

  const tick = async () => {
    second += 1;
    const timestamp = new Date(second * 1000).toISOString();
    useLiveStore().latest = { timestamp, data: {} } satisfies Snapshot;
    await vi.advanceTimersByTimeAsync(1000);
  };
  const open = () => scope.run(useAllProcesses)!;

  it('is requested once per tick, but not while a request is pending', async () => {
    const all = open();
    expect(requests).toHaveLength(0);
    await tick();
    await tick();
    await tick();
    expect(requests).toHaveLength(1);
    requests[0]!.answer(list(7));
    await nextTick();
    expect(all.list?.count).toBe(7);
    await tick();
    expect(requests).toHaveLength(2);
    // The last list stays until the next one arrives.
    expect(all.list?.count).toBe(7);
  });

  it('is not requested while the page is hidden', async () => {
    const visible = vi.spyOn(document, 'visibilityState', 'get').mockReturnValue('hidden');
    open();
    await tick();
    expect(requests).toHaveLength(0);
    visible.mockReturnValue('visible');
    await tick();
    expect(requests).toHaveLength(1);
  });

  it('is dropped when a request fails, and comes back', async () => {
    const all = open();
    await tick();
    requests[0]!.answer(list(7));
    await tick();
    requests[1]!.fail(new ApiError('The list broke.', 500));
    await nextTick();
    await nextTick();
    expect([all.list, all.error]).toEqual([null, 'The list broke.']);
    // A failing server is not queried at every tick.
    for (let i = 0; i < 8; i += 1) await tick();
    expect(requests).toHaveLength(2);
    for (let i = 0; i < 4; i += 1) await tick();
    expect(requests).toHaveLength(3);
    requests[2]!.answer(list(8));
    await nextTick();
    expect([all.list?.count, all.error]).toEqual([8, null]);
  });

  it('cancels its request when the page is left, and ignores a late response', async () => {
    const all = open();
    await tick();
    scope.stop();
    expect(requests[0]!.signal.aborted).toBe(true);
    requests[0]!.answer(list(7));
    await nextTick();
    expect([all.list, all.error]).toEqual([null, null]);
    await tick();
    expect(requests).toHaveLength(1);
  });
});
