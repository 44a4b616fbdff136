/** The range that is explained. The address says which, so that Back closes the explanation, and a link opens it. */
import { computed } from 'vue';
import { useRoute, useRouter } from 'vue-router';
import { explainedIn, explainParameters, type CompareTo, type ExplainQuery } from '@/series/explained';
import type { Span } from '@/series/range';

export function useExplain() {
  const route = useRoute();
  const router = useRouter();
  const explained = computed(() => explainedIn(route.query));

  const place = (next: ExplainQuery | null) => ({ query: { ...route.query, ...explainParameters(next) } });

  function explain({ from, to }: Span): void {
    void router.push(place({ from, to, compareTo: 'before' }));
  }

  function compareTo(value: CompareTo): void {
    if (explained.value !== null) void router.replace(place({ ...explained.value, compareTo: value }));
  }

  /** Goes back to where it was opened; after a link there is no such place. */
  function close(): void {
    const { back } = router.options.history.state;
    const before = typeof back === 'string' ? router.resolve(back) : null;
    if (before?.path === route.path && explainedIn(before.query) === null) router.back();
    else void router.replace(place(null));
  }

  return { explained, explain, compareTo, close };
}
