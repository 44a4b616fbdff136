import { createPinia, setActivePinia } from 'pinia';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { effectScope, nextTick, shallowRef, type EffectScope } from 'vue';
import { useQuery } from '@/composables/useQuery';

interface Asked {
  of: number;
  signal: AbortSignal;
  answer: (text: string) => void;
}

describe('a question', () => {
  let scope: EffectScope;
  beforeEach(() => {
    setActivePinia(createPinia());
    scope = effectScope();
  });
  afterEach(() => {
    scope.stop();
  });

  const settled = async () => {
    for (let i = 0; i < 5; i += 1) await nextTick();
  };

  function open(isPatient: boolean) {
    const asked: Asked[] = [];
    const of = shallowRef(1);
    const query = scope.run(() =>
      useQuery(
        () => of.value,
        (value: number, signal) => new Promise<string>((answer) => asked.push({ of: value, signal, answer })),
        (now, before) => Math.floor((now ?? 0) / 100) !== Math.floor((before ?? 0) / 100),
        () => isPatient,
      ),
    )!;
    return { asked, of, query };
  }

  it('is given up for the next one', async () => {
    const { asked, of } = open(false);
    of.value = 2;
    await nextTick();
    expect(asked.map((one) => [one.of, one.signal.aborted])).toEqual([
      [1, true],
      [2, false],
    ]);
  });

  it('is waited for while a range moves on, and then asked again', async () => {
    const { asked, of, query } = open(true);
    of.value = 2;
    await nextTick();
    of.value = 3;
    await nextTick();
    expect(asked.map((one) => one.of)).toEqual([1]);
    asked[0]!.answer('first');
    await settled();
    expect([query.answer.value, ...asked.map((one) => one.of)]).toEqual(['first', 1, 3]);
    asked[1]!.answer('second');
    await settled();
    expect([query.answer.value, query.busy.value, asked.length]).toEqual(['second', false, 2]);
  });

  it('about something else is asked at once', async () => {
    const { asked, of } = open(true);
    of.value = 100;
    await nextTick();
    expect(asked.map((one) => [one.of, one.signal.aborted])).toEqual([
      [1, true],
      [100, false],
    ]);
  });
});
