/** The shown time for questions to the server: a live range moves on now and then, not with every tick. */
import { computed, onScopeDispose, shallowRef, watch } from 'vue';
import { resolve, type Span } from '@/series/range';
import { useClockStore } from '@/stores/clock';
import { useFleetStore } from '@/stores/fleet';
import { useTimeStore } from '@/stores/time';

/** A live range is refreshed this many times per length, but at most every five seconds. */
const REFRESHES_PER_RANGE = 240;
const MIN_REFRESH_MS = 5000;

/**
 * `moves`: whether a live range moves on by itself; otherwise only when it is refreshed or chosen anew. `least`: milliseconds
 * between two refreshes at least.
 */
export function useSteadySpan(moves: () => boolean = () => true, least = MIN_REFRESH_MS) {
  const clock = useClockStore();
  const fleet = useFleetStore();
  const time = useTimeStore();
  const now = shallowRef(time.now());
  const span = computed<Span>(() => resolve(time.range, now.value));

  function refresh(): void {
    now.value = time.now();
  }

  // The first ticks show whether the server's clock differs.
  watch(() => clock.offsetMs, refresh);
  // Until when there is history of a machine of a fleet.
  watch(
    () => fleet.newest,
    (_, before) => {
      if (before === null || moves()) refresh();
    },
  );

  let timer: ReturnType<typeof setInterval> | undefined;
  watch(
    [() => time.following && moves(), () => time.length],
    ([moving, length]) => {
      clearInterval(timer);
      refresh();
      if (!moving) return;
      timer = setInterval(
        () => {
          if (document.visibilityState === 'visible') refresh();
        },
        Math.max(least, length / REFRESHES_PER_RANGE),
      );
    },
    { immediate: true },
  );
  onScopeDispose(() => {
    clearInterval(timer);
  });

  return { span, now, refresh };
}
