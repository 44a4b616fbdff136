/**
 * The live samples and the state of the connection. Samples go into a ring of typed arrays as they arrive; what
 * is drawn follows once per animation frame, however many came.
 */
import { defineStore } from 'pinia';
import { computed, markRaw, shallowRef } from 'vue';
import { MetricStream, openMetricsSocket, type StreamState } from '@/api/stream';
import type { Snapshot, StreamMessage } from '@/api/types';
import { extract } from '@/series/extract';
import { EpisodeTrack, eventsIn, type Episode } from '@/series/events';
import { histogramsIn, HistogramTrack } from '@/series/histogram';
import { ProcessTrack } from '@/series/processTrack';
import { Ring } from '@/series/ring';
import { useAuthStore } from './auth';

/** One hour at the shortest interval. */
const CAPACITY = 3600;
/** The most the server keeps in memory. */
const BACKFILL = 720;
const DEFAULT_INTERVAL_MS = 5000;
/** Ticks between two looks for what has gone. */
const FORGET_EVERY = 300;
/** Two missed ticks and a bit: then what is shown is old. */
const STALE_AFTER = 2.5;

export const useLiveStore = defineStore('live', () => {
  const auth = useAuthStore();
  const ring = markRaw(new Ring(CAPACITY));
  const histograms = markRaw(new HistogramTrack(CAPACITY));
  const processes = markRaw(new ProcessTrack(CAPACITY));
  const happened = markRaw(new EpisodeTrack());
  /** OOM kills, throttled cgroups, restarts. */
  const episodes = shallowRef<readonly Episode[]>([]);
  const latest = shallowRef<Snapshot | null>(null);
  const connection = shallowRef<StreamState>({ kind: 'closed' });
  /** Changes once per drawn frame; whoever reads the ring depends on it. */
  const version = shallowRef(0);
  /** Changes with `version` where there is more than another tick: the first of all, or a past. */
  const filled = shallowRef(0);
  const receivedAt = shallowRef<number | null>(null);
  const intervalMs = shallowRef(DEFAULT_INTERVAL_MS);
  const skipped = shallowRef(0);
  const pausedAt = shallowRef<number | null>(null);

  let taken = 0;
  let newest: Snapshot | null = null;
  let pastCame = false;
  let frame: number | null = null;
  let stream: MetricStream | null = null;

  function take(snapshot: Snapshot): void {
    const time = Date.parse(snapshot.timestamp);
    if (!ring.push(time, extract(snapshot.data))) return;
    newest = snapshot;
    pastCame ||= ring.size === 1;
    taken += 1;
    if (taken % FORGET_EVERY === 0) forget();
    happened.push(eventsIn(snapshot.data, snapshot.timestamp));
    processes.push(time, snapshot.data.processes?.top ?? []);
    for (const type of ['scheduler', 'block_io', 'tcp'] as const) {
      for (const [path, one] of histogramsIn(type, snapshot.data[type])) histograms.push(time, path, one);
    }
  }

  /** Names that are gone for as long as the ring reaches take no more memory. */
  function forget(): void {
    ring.forgetAbsent();
    histograms.forgetBefore(ring.timeAt(0));
  }

  /** The interval is what lies between the last two ticks; a hole of skipped ones does not count. */
  function measureInterval(): void {
    const size = ring.size;
    let shortest = Infinity;
    for (let i = Math.max(1, size - 4); i < size; i += 1) {
      shortest = Math.min(shortest, ring.timeAt(i) - ring.timeAt(i - 1));
    }
    if (Number.isFinite(shortest)) intervalMs.value = shortest;
  }

  function flush(): void {
    frame = null;
    measureInterval();
    if (pausedAt.value !== null) return;
    latest.value = newest;
    episodes.value = happened.list;
    if (pastCame) filled.value += 1;
    pastCame = false;
    version.value += 1;
  }

  function forgetAll(): void {
    ring.clear();
    histograms.clear();
    processes.clear();
    happened.clear();
  }

  /**
   * What came before. A server that was started again reads the run before from its store, which may take longer than
   * the first ticks: then all is sent once more, and begins before what is here.
   */
  function takePast(snapshots: readonly Snapshot[]): void {
    const first = snapshots[0];
    if (first !== undefined && Date.parse(first.timestamp) < ring.timeAt(0)) forgetAll();
    snapshots.forEach(take);
    pastCame ||= first !== undefined;
  }

  function onMessage(message: StreamMessage): void {
    if (message.type === 'pong') return;
    if (message.type === 'history') takePast(message.snapshots);
    if (message.type === 'metrics') {
      take(message);
      skipped.value += message.skipped ?? 0;
    }
    receivedAt.value = Date.now();
    frame ??= requestAnimationFrame(flush);
  }

  function start(): void {
    if (stream !== null) return;
    stream = new MetricStream({
      open: () => openMetricsSocket(auth.token ?? '', BACKFILL),
      onMessage,
      onState: (state) => {
        connection.value = state;
      },
      sessionEnded: auth.isOver,
    });
    stream.start();
    window.addEventListener('online', retry);
  }

  function stop(): void {
    window.removeEventListener('online', retry);
    stream?.stop();
    stream = null;
    if (frame !== null) cancelAnimationFrame(frame);
    frame = null;
    forgetAll();
    episodes.value = [];
    newest = null;
    latest.value = null;
    receivedAt.value = null;
    pausedAt.value = null;
    version.value += 1;
  }

  function retry(): void {
    stream?.retry();
  }

  /** Sampling goes on; only what is shown stands still. */
  function togglePause(): void {
    pausedAt.value = pausedAt.value === null ? (ring.last ?? Date.now()) : null;
    if (pausedAt.value === null) flush();
  }

  const staleAfterMs = computed(() => intervalMs.value * STALE_AFTER);
  const hasData = computed(() => latest.value !== null);

  return {
    ring,
    histograms,
    processes,
    episodes,
    latest,
    connection,
    version,
    filled,
    receivedAt,
    intervalMs,
    skipped,
    pausedAt,
    staleAfterMs,
    hasData,
    start,
    stop,
    retry,
    togglePause,
  };
});
