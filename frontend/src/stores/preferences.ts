/** The user's preferences, kept in this browser. The URL can override them for one visit. */
import { defineStore } from 'pinia';
import { computed, shallowRef, watch } from 'vue';

const KEY = 'perfwatch.preferences';
const dark = window.matchMedia('(prefers-color-scheme: dark)');
const print = window.matchMedia('print');

export type ThemeChoice = 'dark' | 'light' | 'system';
export type ZoneChoice = 'local' | 'utc' | 'server';

export interface CardLayout {
  /** Cards in the chosen order; new ones come last. */
  order: string[];
  hidden: string[];
}

interface Preferences {
  theme: ThemeChoice;
  /** The last live range, as in a URL: `5m`. */
  range: string;
  zone: ZoneChoice;
  /** Whether this browser tells of alerts, if it may. */
  notify: boolean;
  /** Each user's dashboard layout. */
  cards: Record<string, CardLayout>;
}

const defaults: Preferences = { theme: 'system', range: '5m', zone: 'local', notify: false, cards: {} };

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

export const usePreferencesStore = defineStore('preferences', () => {
  const stored = shallowRef(read());
  const systemDark = shallowRef(dark.matches);
  const visitTheme = shallowRef<ThemeChoice | null>(null);
  dark.addEventListener('change', (event) => {
    systemDark.value = event.matches;
  });

  /** Whether the page is being printed: black on white, and all of it. */
  const printing = shallowRef(print.matches);
  print.addEventListener('change', (event) => {
    printing.value = event.matches;
  });

  const themeChoice = computed(() => visitTheme.value ?? stored.value.theme);
  const theme = computed<'dark' | 'light'>(() => {
    if (printing.value) return 'light';
    return themeChoice.value === 'system' ? (systemDark.value ? 'dark' : 'light') : themeChoice.value;
  });
  const range = computed(() => stored.value.range);
  const zone = computed(() => stored.value.zone);

  function change(part: Partial<Preferences>): void {
    stored.value = { ...stored.value, ...part };
    localStorage.setItem(KEY, JSON.stringify(stored.value));
  }

  /** An explicit choice, which also clears the URL's override. */
  function chooseTheme(choice: ThemeChoice): void {
    visitTheme.value = null;
    change({ theme: choice });
  }

  function chooseRange(length: string): void {
    if (length !== stored.value.range) change({ range: length });
  }

  function chooseZone(zone: ZoneChoice): void {
    change({ zone });
  }

  const notify = computed(() => stored.value.notify);
  function chooseNotify(on: boolean): void {
    change({ notify: on });
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
    { immediate: true, flush: 'sync' },
  );

  return {
    visitTheme,
    printing,
    themeChoice,
    theme,
    range,
    zone,
    chooseTheme,
    chooseRange,
    chooseZone,
    notify,
    chooseNotify,
    cardsOf,
    arrange,
  };
});
