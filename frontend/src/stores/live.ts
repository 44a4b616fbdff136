/**
 * Live samples and the connection's state. Samples go into a ring of typed arrays as they arrive; charts update
 * once per animation frame, however many samples arrived.
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
/** Snapshots to request on connect: the most the server keeps in memory. */
const BACKFILL = 720;
const DEFAULT_INTERVAL_MS = 5000;
/** Ticks between prunings of series that no longer exist. */
const PRUNE_EVERY = 300;
/** Data is stale after this many intervals without a tick. */
const STALE_INTERVALS = 2.5;

export const useLiveStore = defineStore('live', () => {
  const auth = useAuthStore();
  const ring = markRaw(new Ring(CAPACITY));
  const histograms = markRaw(new HistogramTrack(CAPACITY));
  const processes = markRaw(new ProcessTrack(CAPACITY));
  const episodeTrack = markRaw(new EpisodeTrack());
  /** OOM kills, throttled cgroups, restarts. */
  const episodes = shallowRef<readonly Episode[]>([]);
  const latest = shallowRef<Snapshot | null>(null);
  const connection = shallowRef<StreamState>({ kind: 'closed' });
  /** Increments once per frame; anything that reads the ring depends on it. */
  const version = shallowRef(0);
  /** Increments with `version` when more than a tick arrived: the first one, or a backfill. */
  const backfills = shallowRef(0);
  const receivedAt = shallowRef<number | null>(null);
  const intervalMs = shallowRef(DEFAULT_INTERVAL_MS);
  const skipped = shallowRef(0);
  const pausedAt = shallowRef<number | null>(null);

  let appended = 0;
  let newest: Snapshot | null = null;
  let backfilled = false;
  let frame: number | null = null;
  let stream: MetricStream | null = null;

  function append(snapshot: Snapshot): void {
    const time = Date.parse(snapshot.timestamp);
    if (!ring.push(time, extract(snapshot.data))) return;
    newest = snapshot;
    backfilled ||= ring.size === 1;
    appended += 1;
    if (appended % PRUNE_EVERY === 0) prune();
    episodeTrack.push(eventsIn(snapshot.data, snapshot.timestamp));
    processes.push(time, snapshot.data.processes?.top ?? []);
    for (const type of ['scheduler', 'block_io', 'tcp'] as const) {
      for (const [path, one] of histogramsIn(type, snapshot.data[type])) histograms.push(time, path, one);
    }
  }

  /** Frees series that had no value for as long as the ring reaches back. */
  function prune(): void {
    ring.pruneEmpty();
    histograms.pruneBefore(ring.timeAt(0));
  }

  /** The shortest of the last few distances: a gap of skipped ticks does not count. */
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
    episodes.value = episodeTrack.list;
    if (backfilled) backfills.value += 1;
    backfilled = false;
    version.value += 1;
  }

  function clear(): void {
    ring.clear();
    histograms.clear();
    processes.clear();
    episodeTrack.clear();
  }

  /**
   * Appends a backfill. A restarted server reads its previous run from the store, which can take longer than the
   * first ticks; it then sends a second, complete backfill that starts before the samples held here.
   */
  function appendBackfill(snapshots: readonly Snapshot[]): void {
    const first = snapshots[0];
    if (first !== undefined && Date.parse(first.timestamp) < ring.timeAt(0)) clear();
    snapshots.forEach(append);
    backfilled ||= first !== undefined;
  }

  function onMessage(message: StreamMessage): void {
    if (message.type === 'pong') return;
    if (message.type === 'history') appendBackfill(message.snapshots);
    if (message.type === 'metrics') {
      append(message);
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
      sessionEnded: auth.hasEnded,
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
    clear();
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

  /** Freezes the display; samples are still collected. */
  function togglePause(): void {
    pausedAt.value = pausedAt.value === null ? (ring.last ?? Date.now()) : null;
    if (pausedAt.value === null) flush();
  }

  const staleAfterMs = computed(() => intervalMs.value * STALE_INTERVALS);
  const hasData = computed(() => latest.value !== null);

  return {
    ring,
    histograms,
    processes,
    episodes,
    latest,
    connection,
    version,
    backfills,
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
