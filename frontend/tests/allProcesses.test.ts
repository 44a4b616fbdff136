import { createPinia, setActivePinia } from 'pinia';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { effectScope, nextTick, type EffectScope } from 'vue';
import { ApiError } from '@/api/http';
import type { ProcessList, Snapshot } from '@/api/types';
import { useAllProcesses } from '@/composables/useAllProcesses';
import { useLiveStore } from '@/stores/live';

interface Question {
  signal: AbortSignal;
  answer: (list: ProcessList) => void;
  fail: (error: Error) => void;
}
const questions = vi.hoisted((): Question[] => []);
vi.mock('@/api/processes', () => ({
  allProcesses: (signal: AbortSignal) =>
    new Promise<ProcessList>((answer, fail) => questions.push({ signal, answer, fail })),
}));

const list = (count: number): ProcessList => ({
  _timestamp: '2026-01-01T00:00:00Z',
  count,
  truncated: false,
  processes: [],
});

describe('the list of all processes', () => {
  let scope: EffectScope;
  let second = 0;
  beforeEach(() => {
    questions.length = 0;
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

  it('is asked for once a tick, and not while an answer is on its way', async () => {
    const all = open();
    expect(questions).toHaveLength(0);
    await tick();
    await tick();
    await tick();
    expect(questions).toHaveLength(1);
    questions[0]!.answer(list(7));
    await nextTick();
    expect(all.list?.count).toBe(7);
    await tick();
    expect(questions).toHaveLength(2);
    // The last list stays until the next one is here.
    expect(all.list?.count).toBe(7);
  });

  it('is not asked for while nobody can see it', async () => {
    const visible = vi.spyOn(document, 'visibilityState', 'get').mockReturnValue('hidden');
    open();
    await tick();
    expect(questions).toHaveLength(0);
    visible.mockReturnValue('visible');
    await tick();
    expect(questions).toHaveLength(1);
  });

  it('gives way to the busiest where it cannot be had, and comes back', async () => {
    const all = open();
    await tick();
    questions[0]!.answer(list(7));
    await tick();
    questions[1]!.fail(new ApiError('The list broke.', 500));
    await nextTick();
    await nextTick();
    expect([all.list, all.error]).toEqual([null, 'The list broke.']);
    // A server in trouble is not asked at every tick.
    for (let i = 0; i < 8; i += 1) await tick();
    expect(questions).toHaveLength(2);
    for (let i = 0; i < 4; i += 1) await tick();
    expect(questions).toHaveLength(3);
    questions[2]!.answer(list(8));
    await nextTick();
    expect([all.list?.count, all.error]).toEqual([8, null]);
  });

  it('ends its question when it is left, and takes no late answer', async () => {
    const all = open();
    await tick();
    scope.stop();
    expect(questions[0]!.signal.aborted).toBe(true);
    questions[0]!.answer(list(7));
    await nextTick();
    expect([all.list, all.error]).toEqual([null, null]);
    await tick();
    expect(questions).toHaveLength(1);
  });
});
