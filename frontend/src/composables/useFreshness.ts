/** The state of the stream as text. */
import { computed } from 'vue';
import { clockTime } from '@/format/time';
import { duration } from '@/format/units';
import { useLiveStore } from '@/stores/live';
import { useNow } from './useNow';

export interface Freshness {
  kind: 'connecting' | 'live' | 'stale' | 'paused' | 'reconnecting' | 'failed';
  tone: 'good' | 'warn' | 'bad' | 'idle';
  label: string;
  detail: string;
  canRetry: boolean;
}

export function useFreshness() {
  const live = useLiveStore();
  const now = useNow();

  const last = computed(() => {
    void live.version;
    return live.ring.last === null ? '' : `last update ${clockTime(live.ring.last)}`;
  });
  /** By whichever clock says more: the wall clock can be set back, the other one stops while suspended. */
  const age = computed(() => {
    const wall = now.value;
    if (live.receivedAt === null) return 0;
    return Math.max(0, wall - live.receivedAt.wall, performance.now() - live.receivedAt.monotonic);
  });

  return computed<Freshness>(() => {
    const { connection } = live;
    const old = live.receivedAt === null ? last.value : `${duration(age.value / 1000)} old`;
    if (connection.kind === 'failed') {
      const label = 'Connection failed';
      return { kind: 'failed', tone: 'bad', label, detail: old, canRetry: true };
    }
    if (connection.kind === 'waiting') {
      const left = Math.max(1, Math.round((connection.retryAt - now.value) / 1000));
      const detail = `attempt ${connection.attempt.toString()}, next in ${left.toString()} s`;
      return { kind: 'reconnecting', tone: 'warn', label: 'Reconnecting', detail, canRetry: true };
    }
    if (connection.kind !== 'open') {
      return { kind: 'connecting', tone: 'idle', label: 'Connecting', detail: old, canRetry: false };
    }
    if (live.pausedAt !== null) {
      const detail = `at ${clockTime(live.pausedAt)}`;
      return { kind: 'paused', tone: 'warn', label: 'Paused', detail, canRetry: false };
    }
    if (age.value > live.staleAfterMs && live.receivedAt !== null) {
      return { kind: 'stale', tone: 'warn', label: `Stale, ${old}`, detail: last.value, canRetry: false };
    }
    const label = `Live, every ${duration(live.intervalMs / 1000)}`;
    return { kind: 'live', tone: 'good', label, detail: last.value, canRetry: false };
  });
}
