/**
 * The time that the whole page shows. Its truth is the URL: a choice navigates, and the router tells what the address
 * says, so that Back, a reload and a shared link show the same.
 */
import { defineStore } from 'pinia';
import { computed, shallowRef } from 'vue';
import {
  isLive,
  lengthText,
  pan,
  parseLength,
  rangeIn,
  rangeQuery,
  resolve,
  zoom,
  zoomLive,
  type Live,
  type Query,
  type Range,
  type Span,
} from '@/series/range';
import { useClockStore } from './clock';
import { useFleetStore } from './fleet';
import { useLiveStore } from './live';
import { usePreferencesStore } from './preferences';

export type RangeParameters = ReturnType<typeof rangeQuery>;

/** How an address changes: a deliberate choice is an entry of the browser's history. */
export type Navigate = (parameters: RangeParameters, entry: 'new' | 'same') => void;

const DEFAULT_MS = 5 * 60_000;
const ZOOM = 0.5;
/** Turns of a wheel within this time are one choice. */
const GESTURE_MS = 700;

export const useTimeStore = defineStore('time', () => {
  const clock = useClockStore();
  const fleet = useFleetStore();
  const live = useLiveStore();
  const preferences = usePreferencesStore();

  /** The last live range: of this visit, or else of the one before. */
  let lastLive: Live = { last: parseLength(preferences.range) ?? DEFAULT_MS };
  const range = shallowRef<Range>(lastLive);
  /** Whether the browser's Back returns to an earlier time on this page. */
  const hasEarlier = shallowRef(false);
  let navigate: Navigate = () => undefined;
  let gestureAt = -Infinity;

  /** Now; of a machine that is not heard live, the newest that is known of it. */
  const now = (): number => (live.ring.last === null ? (fleet.newest ?? clock.now()) : clock.now());

  const following = computed(() => isLive(range.value));

  /** Whether the stream brings what a live range shows. A machine of a fleet may be known by its history alone. */
  const isStreamed = computed(() => {
    void live.version;
    return following.value && !(fleet.isHub && live.ring.size === 0);
  });

  /** The time shown; live it moves with each tick, unless paused. */
  const span = computed<Span>(() => {
    if (!isLive(range.value)) return range.value;
    void live.version;
    return resolve(range.value, live.pausedAt ?? live.ring.last ?? now());
  });
  const length = computed(() => (isLive(range.value) ? range.value.last : range.value.to - range.value.from));

  function connect(go: Navigate): void {
    navigate = go;
  }

  /** What the address says; without a range the last one stays. */
  function follow(query: Query, earlier: boolean): void {
    const found = rangeIn(query);
    if (found !== null && JSON.stringify(found) !== JSON.stringify(range.value)) range.value = found;
    if (found !== null && isLive(found)) lastLive = found;
    hasEarlier.value = earlier;
  }

  function choose(next: Range, entry: 'new' | 'same' = 'new'): void {
    if (JSON.stringify(next) === JSON.stringify(range.value)) return;
    if (isLive(next)) {
      lastLive = next;
      preferences.chooseRange(lengthText(next.last));
      if (live.pausedAt !== null) live.togglePause();
    }
    range.value = next;
    navigate(rangeQuery(next), entry);
  }

  /** One step of a gesture, such as a turn of the wheel. */
  function nudge(next: Range): void {
    const now = performance.now();
    choose(next, now - gestureAt < GESTURE_MS ? 'same' : 'new');
    gestureAt = now;
  }

  function goLive(): void {
    choose(lastLive);
  }

  function panBy(share: number): void {
    choose(pan(span.value, share, clock.now()));
  }

  /** Around the crosshair, if there is one. */
  function zoomBy(closer: boolean, at?: number | null): void {
    if (isLive(range.value)) {
      choose(zoomLive(range.value, closer));
      return;
    }
    const { from, to } = span.value;
    choose(zoom(span.value, closer ? ZOOM : 1 / ZOOM, at ?? (from + to) / 2, clock.now()));
  }

  /** The parameters for links to other pages. */
  const parameters = computed(() => rangeQuery(range.value));

  return {
    range,
    span,
    length,
    following,
    isStreamed,
    hasEarlier,
    parameters,
    now,
    connect,
    follow,
    choose,
    nudge,
    goLive,
    panBy,
    zoomBy,
  };
});
