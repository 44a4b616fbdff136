import { createPinia, setActivePinia, type Pinia } from 'pinia';
import { beforeEach, describe, expect, it } from 'vitest';
import { createApp, nextTick, type Component } from 'vue';
import type { Source } from '@/api/types';
import ClockNote from '@/components/ClockNote.vue';
import AuditCard from '@/components/settings/AuditCard.vue';
import SourceMissing from '@/components/SourceMissing.vue';
import { useAccountsStore } from '@/stores/accounts';
import { useClockStore } from '@/stores/clock';
import { useSourcesStore } from '@/stores/sources';

let pinia: Pinia;
beforeEach(() => {
  pinia = createPinia();
  setActivePinia(pinia);
});

/** A mounted component's element. */
function mounted(component: Component, props: Record<string, unknown> = {}): HTMLElement {
  const element = document.createElement('div');
  createApp(component, props).use(pinia).mount(element);
  return element;
}

describe('a card without data', () => {
  const source = (part: Partial<Source>): Source => ({
    name: 'runqueue',
    metric_type: 'scheduler',
    state: 'unavailable',
    method: 'ebpf',
    programs: [],
    cost: { last_us: 0, avg_us: 0 },
    ...part,
  });
  const title = (part: Partial<Source>) => {
    useSourcesStore().sources = [source(part)];
    return mounted(SourceMissing, { type: 'scheduler' }).querySelector('p')?.textContent;
  };

  it('says whether rights are missing or the machine lacks something', () => {
    expect(title({ remedy: 'sudo setcap cap_bpf,cap_perfmon=ep perfwatch' })).toBe('Needs extra rights');
    expect(title({ remedy: 'sudo sysctl kernel.perf_event_paranoid=2' })).toBe('Needs extra rights');
    expect(title({ remedy: 'boot with psi=1' })).toBe('Not available on this machine');
    expect(title({})).toBe('Not available on this machine');
    expect(title({ state: 'disabled' })).toBe('Disabled');
    expect(title({ state: 'failed' })).toBe('Failed');
  });

  it('says so if there is no source, or none is known yet', () => {
    expect(mounted(SourceMissing, { type: 'scheduler' }).querySelector('p')?.textContent).toBe(
      'Not available',
    );
  });
});

describe('the note on clocks', () => {
  it('appears only if the clocks differ', async () => {
    const element = mounted(ClockNote);
    expect(element.textContent).toBe('');
    useClockStore().offsetMs = -7_200_000;
    await nextTick();
    expect(element.textContent.trim()).toBe(
      'The server’s clock is 2 h behind this browser’s. All times shown are the server’s.',
    );
    useClockStore().offsetMs = 90_000;
    await nextTick();
    expect(element.textContent).toContain('1 min 30 s ahead of');
  });
});

describe('the audit log', () => {
  it('names actions, and shows unknown ones as they are', () => {
    const entry = { id: 1, at: '2026-01-01T00:00:00Z', username: 'a', address: '::1', detail: '' };
    useAccountsStore().audit = [
      { ...entry, action: 'login_refused' },
      { ...entry, id: 2, action: 'something_new' },
    ];
    const { textContent } = mounted(AuditCard);
    expect(textContent).toContain('Failed sign-in');
    expect(textContent).toContain('something_new');
  });
});
