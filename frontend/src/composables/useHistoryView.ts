/** The history page's view, kept in the URL, so that Back returns to the previous view. */
import { computed, onScopeDispose, shallowRef, watch } from 'vue';
import { useRoute, useRouter } from 'vue-router';
import { useClockStore } from '@/stores/clock';
import { parseView, viewQuery, type HistoryView } from '@/series/historyView';
import { resolve, type Span } from '@/series/range';

/** A range that ends now is refreshed this many times per length, but at most every five seconds. */
const REFRESHES_PER_RANGE = 240;
const MIN_REFRESH_MS = 5000;

export function useHistoryView() {
  const clock = useClockStore();
  const route = useRoute();
  const router = useRouter();
  const view = computed(() => parseView(route.query));
  const now = shallowRef(clock.now());

  function change(part: Partial<HistoryView>): void {
    const { theme } = route.query;
    const query = viewQuery({ ...view.value, ...part });
    now.value = clock.now();
    void router.push({ query: typeof theme === 'string' ? { ...query, theme } : query });
  }

  function refresh(): void {
    now.value = clock.now();
  }

  const span = computed<Span>(() => resolve(view.value.range, now.value));
  const length = computed(() => span.value.to - span.value.from);

  // The first ticks show whether the server's clock differs.
  watch(() => clock.offsetMs, refresh);

  let timer: ReturnType<typeof setInterval> | undefined;
  watch(
    [() => 'preset' in view.value.range && view.value.mode === 'explore', length],
    ([moving]) => {
      clearInterval(timer);
      if (!moving) return;
      timer = setInterval(
        () => {
          if (document.visibilityState === 'visible') refresh();
        },
        Math.max(MIN_REFRESH_MS, length.value / REFRESHES_PER_RANGE),
      );
    },
    { immediate: true },
  );
  onScopeDispose(() => {
    clearInterval(timer);
  });

  return { view, span, now, change, refresh };
}
