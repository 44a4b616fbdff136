/**
 * Live samples and the connection's state. Samples go into a ring of typed arrays as they arrive; charts update
 * once per animation frame, however many samples arrived.
 */
import { defineStore } from 'pinia';
import { computed, markRaw, shallowRef } from 'vue';
import { MetricStream, openMetricsSocket, type StreamState } from '@/api/stream';
import type { Snapshot, StreamMessage, TickMessage } from '@/api/types';
import type { Skip } from '@/format/skips';
import { extract } from '@/series/extract';
import { EpisodeTrack, eventsIn, type Episode } from '@/series/events';
import { histogramsIn, HistogramTrack } from '@/series/histogram';
import { Ring } from '@/series/ring';
import { useAuthStore } from './auth';
import { useClockStore } from './clock';
import { useFleetStore } from './fleet';

/** One hour at the shortest interval. */
const CAPACITY = 3600;
const DEFAULT_INTERVAL_MS = 5000;
/** Ticks between prunings of series that no longer exist. */
const PRUNE_EVERY = 300;
/** Data is stale after this many intervals without a tick. */
const STALE_INTERVALS = 2.5;
/** Distances between ticks that the interval is estimated from, where the server does not announce it. */
const MEASURED_TICKS = 5;
/** A pause of the connection of more ticks than this leaves a hole, which the store may fill. */
const HOLE_TICKS = 3;
/** How often to check for a suspend of this machine, and the delay of a check that indicates one. */
const WAKE_CHECK_MS = 5000;
const SUSPENDED_MS = 15_000;
/** Capacity of the list of missing ticks. */
const MAX_SKIPS = 500;

export const useLiveStore = defineStore('live', () => {
  const auth = useAuthStore();
  const clock = useClockStore();
  const fleet = useFleetStore();
  const ring = markRaw(new Ring(CAPACITY));
  const histograms = markRaw(new HistogramTrack(CAPACITY));
  const episodeTrack = markRaw(new EpisodeTrack());
  /** OOM kills, throttled cgroups, restarts. */
  const episodes = shallowRef<readonly Episode[]>([]);
  const latest = shallowRef<Snapshot | null>(null);
  const connection = shallowRef<StreamState>({ kind: 'closed' });
  /** Increments once per frame; anything that reads the ring depends on it. */
  const version = shallowRef(0);
  /** Increments with `version` when charts are to be drawn anew: first tick, a hole, a clock that was set back. */
  const restarts = shallowRef(0);
  /** When data last arrived, by the browser's wall clock and by its monotonic clock. */
  const receivedAt = shallowRef<{ wall: number; monotonic: number } | null>(null);
  const intervalMs = shallowRef(DEFAULT_INTERVAL_MS);
  /** Counts of missing ticks and why, each with the time of the next tick that was received. */
  const skips = shallowRef<readonly Skip[]>([]);
  const pausedAt = shallowRef<number | null>(null);

  let appended = 0;
  let newest: Snapshot | null = null;
  let restarted = false;
  let frame: number | null = null;
  let stream: MetricStream | null = null;
  let announced = false;
  /** Whether ticks arrive as they are taken: the first of a connection can be an interval old. */
  let current = false;
  let wakeTimer: ReturnType<typeof setInterval> | undefined;
  let wokenAt = 0;

  /** Appends a sample, also after the clock was set back. Returns false for one that is already known. */
  function append(snapshot: Snapshot): boolean {
    const time = Date.parse(snapshot.timestamp);
    if (ring.last !== null && time < ring.last) rewind(time);
    if (!ring.push(time, extract(snapshot.data))) return false;
    newest = snapshot;
    restarted ||= ring.size === 1;
    appended += 1;
    if (appended % PRUNE_EVERY === 0) prune();
    episodeTrack.push(eventsIn(snapshot.data, snapshot.timestamp));
    for (const type of ['scheduler', 'block_io', 'tcp'] as const) {
      for (const [path, one] of histogramsIn(type, snapshot.data[type])) histograms.push(time, path, one);
    }
    return true;
  }

  /** The server's clock was set back to `time`: drops everything from then on. */
  function rewind(time: number): void {
    ring.rewind(time);
    histograms.rewind(time);
    episodeTrack.rewind(time);
    skips.value = skips.value.filter((one) => one.time < time);
    restarted = true;
  }

  /** Frees series that had no value for as long as the ring reaches back. */
  function prune(): void {
    ring.pruneEmpty();
    histograms.pruneBefore(ring.timeAt(0));
  }

  /**
   * Estimates the interval for servers that do not announce it: the median distance of the last ticks, which neither
   * the short first one nor a gap affects.
   */
  function measureInterval(): void {
    if (announced) return;
    const first = Math.max(0, ring.size - 1 - MEASURED_TICKS);
    const distances = Array.from(
      { length: Math.max(0, ring.size - 1 - first) },
      (_, i) => ring.timeAt(first + i + 1) - ring.timeAt(first + i),
    ).sort((a, b) => a - b);
    const median = distances[Math.floor(distances.length / 2)];
    if (median !== undefined) intervalMs.value = median;
  }

  function flush(): void {
    frame = null;
    measureInterval();
    if (pausedAt.value !== null) return;
    latest.value = newest;
    episodes.value = episodeTrack.list;
    if (restarted) restarts.value += 1;
    restarted = false;
    version.value += 1;
  }

  function clear(): void {
    ring.clear();
    histograms.clear();
    episodeTrack.clear();
  }

  function onMessage(message: StreamMessage): void {
    if (message.type === 'pong') return;
    if (message.interval_ms !== undefined) {
      announced = true;
      intervalMs.value = message.interval_ms;
    }
    if (!appendTick(message)) return;
    receivedAt.value = { wall: Date.now(), monotonic: performance.now() };
    frame ??= requestAnimationFrame(flush);
  }

  function appendTick(message: TickMessage): boolean {
    const time = Date.parse(message.timestamp);
    const before = ring.last;
    if (!append(message)) return false;
    restarted ||= !current && before !== null && time - before > HOLE_TICKS * intervalMs.value;
    if (current) clock.observe(time, intervalMs.value);
    current = true;
    const { skipped = 0, skipped_by: by = 'client', missed } = message;
    const gaps: Skip[] = [
      ...(skipped > 0 ? [{ time, count: skipped, cause: by }] : []),
      ...(missed === undefined ? [] : [{ time, count: missed.ticks, cause: missed.cause }]),
    ];
    if (gaps.length > 0) skips.value = [...skips.value, ...gaps].slice(-MAX_SKIPS);
    return true;
  }

  /** A timer that fires much too late indicates that this machine or page was suspended. */
  function checkWake(): void {
    const now = Date.now();
    if (Math.abs(now - wokenAt) > SUSPENDED_MS) stream?.check();
    wokenAt = now;
  }

  function start(): void {
    if (stream !== null) return;
    stream = new MetricStream({
      open: () => openMetricsSocket(auth.token ?? '', fleet.chosen),
      onMessage,
      onState: (state) => {
        if (state.kind === 'connecting') current = false;
        connection.value = state;
      },
      sessionEnded: auth.hasEnded,
    });
    stream.start();
    wokenAt = Date.now();
    wakeTimer = setInterval(checkWake, WAKE_CHECK_MS);
    window.addEventListener('online', retry);
  }

  function stop(): void {
    window.removeEventListener('online', retry);
    clearInterval(wakeTimer);
    stream?.stop();
    stream = null;
    if (frame !== null) cancelAnimationFrame(frame);
    frame = null;
    clear();
    episodes.value = [];
    newest = null;
    latest.value = null;
    skips.value = [];
    announced = false;
    receivedAt.value = null;
    pausedAt.value = null;
    version.value += 1;
  }

  function retry(): void {
    stream?.retry();
  }

  /** Freezes the display; samples are still collected. */
  function togglePause(): void {
    pausedAt.value = pausedAt.value === null ? (ring.last ?? clock.now()) : null;
    if (pausedAt.value === null) flush();
  }

  const ticks = computed(() => {
    void version.value;
    return ring.size;
  });
  const staleAfterMs = computed(() => intervalMs.value * STALE_INTERVALS);
  const hasData = computed(() => latest.value !== null);

  return {
    ring,
    histograms,
    episodes,
    latest,
    connection,
    version,
    ticks,
    restarts,
    receivedAt,
    intervalMs,
    skips,
    pausedAt,
    staleAfterMs,
    hasData,
    start,
    stop,
    retry,
    togglePause,
  };
});
