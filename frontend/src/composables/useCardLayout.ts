/** The user's visible cards and their order. */
import { computed } from 'vue';
import { useAuthStore } from '@/stores/auth';
import { usePreferencesStore } from '@/stores/preferences';

/** The known ids in the wanted order; new ones follow in default order. */
export function ordered(wanted: readonly string[], known: readonly string[]): string[] {
  const placed = wanted.filter((id) => known.includes(id));
  return [...placed, ...known.filter((id) => !placed.includes(id))];
}

export function useCardLayout(known: readonly string[]) {
  const auth = useAuthStore();
  const preferences = usePreferencesStore();
  const user = computed(() => auth.user?.username ?? '');
  const layout = computed(() => preferences.cardsOf(user.value));

  const order = computed(() => ordered(layout.value.order, known));
  const visible = computed(() => order.value.filter((id) => !layout.value.hidden.includes(id)));

  function move(id: string, by: number): void {
    const next = [...order.value];
    const from = next.indexOf(id);
    const to = Math.min(next.length - 1, Math.max(0, from + by));
    if (from < 0 || to === from) return;
    next.splice(to, 0, ...next.splice(from, 1));
    preferences.arrange(user.value, { ...layout.value, order: next });
  }

  function toggle(id: string): void {
    const { hidden } = layout.value;
    const next = hidden.includes(id) ? hidden.filter((other) => other !== id) : [...hidden, id];
    preferences.arrange(user.value, { order: order.value, hidden: next });
  }

  function reset(): void {
    preferences.arrange(user.value, { order: [], hidden: [] });
  }

  return { order, visible, move, toggle, reset };
}
