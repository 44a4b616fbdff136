import { createPinia, setActivePinia, type Pinia } from 'pinia';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { createApp, nextTick, type Component } from 'vue';
import type { Source } from '@/api/types';
import ClockNote from '@/components/ClockNote.vue';
import AuditCard from '@/components/settings/AuditCard.vue';
import DoctorCard from '@/components/settings/DoctorCard.vue';
import RightsBanner from '@/components/RightsBanner.vue';
import SourceMissing from '@/components/SourceMissing.vue';
import { missingRights } from '@/series/rights';
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

  it('leaves the command that grants rights to the banner', () => {
    useSourcesStore().sources = [source({ remedy: 'sudo setcap cap_bpf=ep perfwatch', reason: 'EPERM' })];
    const card = mounted(SourceMissing, { type: 'scheduler' });
    expect(card.textContent).not.toContain('setcap');
    expect(card.querySelector('button')).toBeNull();
  });

  it('says so if there is no source, or none is known yet', () => {
    expect(mounted(SourceMissing, { type: 'scheduler' }).querySelector('p')?.textContent).toBe(
      'Not available',
    );
  });
});

describe('the banner on missing rights', () => {
  const setcap = 'sudo setcap cap_bpf,cap_perfmon=ep perfwatch';
  const source = (name: string, remedy: string | null): Source => ({
    name,
    metric_type: name,
    state: 'unavailable',
    method: 'ebpf',
    remedy,
    programs: [],
    cost: { last_us: 0, avg_us: 0 },
  });

  it('says once what one command would add', () => {
    useSourcesStore().sources = [
      source('counters', setcap),
      source('tcp', setcap),
      source('pressure', 'boot with psi=1'),
    ];
    const banner = mounted(RightsBanner);
    expect(banner.querySelectorAll('code')).toHaveLength(1);
    expect(banner.querySelector('code')?.textContent).toBe(setcap);
    expect(banner.textContent).toContain('Not measured: performance counters, TCP retransmits and latency.');
  });

  it('joins commands if rights are missing in two places', () => {
    const sysctl = 'sudo sysctl kernel.perf_event_paranoid=2';
    const found = missingRights([source('tcp', setcap), source('counters', sysctl)]);
    expect(found?.command).toBe(`${setcap} && ${sysctl}`);
  });

  it('is not there if no right is missing', () => {
    useSourcesStore().sources = [source('pressure', 'boot with psi=1'), source('cpu', null)];
    expect(mounted(RightsBanner).textContent).toBe('');
  });
});

describe('the doctor', () => {
  it('shows each cause once, with its remedy, what it affects, and the store', () => {
    const remedy = 'sudo setcap cap_bpf=ep perfwatch';
    const broken = (name: string) => ({ name, status: 'problem' as const, detail: 'needs CAP_BPF', remedy });
    const sources = useSourcesStore();
    vi.spyOn(sources, 'diagnose').mockResolvedValue();
    sources.findings = {
      summary: { working: 3, to_fix: 1, not_available: 0 },
      problems: [
        {
          title: 'Missing rights',
          reason: 'this process lacks CAP_BPF',
          affects: ['tcp', 'counters'],
          remedy,
        },
      ],
      machine: [],
      store: [{ name: 'database', status: 'ok', detail: 'SQLite 3', remedy: null }],
      sources: [broken('tcp'), broken('counters')],
      events: [{ name: 'cycles', status: 'ok', detail: 'multiplexed', remedy: 'sudo sysctl x=0' }],
    };
    const card = mounted(DoctorCard);
    expect([...card.querySelectorAll('code')].map((code) => code.textContent)).toEqual([
      remedy,
      'sudo sysctl x=0',
    ]);
    expect(card.textContent).toContain('This process lacks CAP_BPF. Affects tcp, counters.');
    expect(card.textContent).toMatch(/3\s+working,\s+1\s+to fix/);
    expect(card.textContent).toContain('SQLite 3');
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
