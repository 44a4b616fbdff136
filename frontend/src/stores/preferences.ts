/** The user's preferences, kept in this browser. The URL can override them for one visit. */
import { defineStore } from 'pinia';
import { computed, shallowRef, watch } from 'vue';

const KEY = 'perfwatch.preferences';
const dark = window.matchMedia('(prefers-color-scheme: dark)');

export type ThemeChoice = 'dark' | 'light' | 'system';
export const windowChoices = [1, 5, 15, 60] as const;
export type WindowMinutes = (typeof windowChoices)[number];

export interface CardLayout {
  /** Cards in the chosen order; new ones come last. */
  order: string[];
  hidden: string[];
}

interface Preferences {
  theme: ThemeChoice;
  windowMinutes: WindowMinutes;
  /** Each user's dashboard layout. */
  cards: Record<string, CardLayout>;
}

const defaults: Preferences = { theme: 'dark', windowMinutes: 5, cards: {} };

function read(): Preferences {
  try {
    return { ...defaults, ...(JSON.parse(localStorage.getItem(KEY) ?? '{}') as Partial<Preferences>) };
  } catch {
    return defaults;
  }
}

export function isTheme(value: unknown): value is ThemeChoice {
  return value === 'dark' || value === 'light' || value === 'system';
}

export function isWindow(value: number): value is WindowMinutes {
  return (windowChoices as readonly number[]).includes(value);
}

export const usePreferencesStore = defineStore('preferences', () => {
  const stored = shallowRef(read());
  const systemDark = shallowRef(dark.matches);
  const visitTheme = shallowRef<ThemeChoice | null>(null);
  const visitWindow = shallowRef<WindowMinutes | null>(null);
  dark.addEventListener('change', (event) => {
    systemDark.value = event.matches;
  });

  const themeChoice = computed(() => visitTheme.value ?? stored.value.theme);
  const theme = computed<'dark' | 'light'>(() =>
    themeChoice.value === 'system' ? (systemDark.value ? 'dark' : 'light') : themeChoice.value,
  );
  const windowMinutes = computed(() => visitWindow.value ?? stored.value.windowMinutes);

  function change(part: Partial<Preferences>): void {
    stored.value = { ...stored.value, ...part };
    localStorage.setItem(KEY, JSON.stringify(stored.value));
  }

  /** An explicit choice, which also clears the URL's override. */
  function chooseTheme(choice: ThemeChoice): void {
    visitTheme.value = null;
    change({ theme: choice });
  }

  function chooseWindow(minutes: WindowMinutes): void {
    visitWindow.value = null;
    change({ windowMinutes: minutes });
  }

  function cardsOf(username: string): CardLayout {
    return stored.value.cards[username] ?? { order: [], hidden: [] };
  }

  function arrange(username: string, layout: CardLayout): void {
    change({ cards: { ...stored.value.cards, [username]: layout } });
  }

  watch(
    theme,
    (name) => {
      document.documentElement.dataset.theme = name;
    },
    { immediate: true },
  );

  return {
    visitTheme,
    visitWindow,
    themeChoice,
    theme,
    windowMinutes,
    chooseTheme,
    chooseWindow,
    cardsOf,
    arrange,
  };
});
