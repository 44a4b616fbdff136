/** Notifications of this browser, which are asked for by a button only. */
import { computed, shallowRef, watch } from 'vue';
import { useAlertsStore } from '@/stores/alerts';
import { usePreferencesStore } from '@/stores/preferences';

const isKnown = typeof Notification === 'function';

export function useNotifications() {
  const preferences = usePreferencesStore();
  const permission = shallowRef(isKnown ? Notification.permission : 'denied');
  const problem = shallowRef<string | null>(null);
  const isOn = computed(() => preferences.notify && permission.value === 'granted');

  async function toggle(): Promise<void> {
    problem.value = null;
    if (isOn.value) {
      preferences.chooseNotify(false);
      return;
    }
    permission.value = await Notification.requestPermission();
    preferences.chooseNotify(permission.value === 'granted');
    if (permission.value !== 'granted') {
      problem.value = window.isSecureContext
        ? 'This browser does not let PerfWatch notify; its site settings change that.'
        : 'Browsers notify only over HTTPS or from localhost.';
    }
  }

  return { canAsk: isKnown, isOn, problem, toggle };
}

/** Tells of alerts that are new since the page was opened. */
export function useNotices(): void {
  const alerts = useAlertsStore();
  const preferences = usePreferencesStore();
  let known: Set<string> | null = null;

  watch(
    () => alerts.current,
    (current) => {
      if (current === null) return;
      const before = known;
      known = new Set(alerts.firing.map(({ episode }) => episode?.id ?? ''));
      if (before === null || !isKnown || !preferences.notify || Notification.permission !== 'granted') return;
      for (const { episode, summary, rule, severity } of alerts.firing) {
        const id = episode?.id ?? '';
        // Some browsers on phones refuse; the bell still counts it.
        if (!before.has(id)) tell(summary, `${severity ?? 'warning'}: ${rule}`, id);
      }
    },
  );
}

function tell(title: string, body: string, tag: string): void {
  try {
    new Notification(title, { body, tag, icon: 'favicon.svg' });
  } catch {
    // Nothing else can be done.
  }
}
