/** Alerts to mark on a chart of some fields. */
import { computed, onMounted } from 'vue';
import type { Span } from '@/charts/geometry';
import { marksFor } from '@/series/alertMarks';
import { useAlertsStore } from '@/stores/alerts';
import { useClockStore } from '@/stores/clock';

export function useAlertMarks(fields: () => readonly string[], span: () => Span) {
  const alerts = useAlertsStore();
  const clock = useClockStore();
  onMounted(() => {
    if (fields().length > 0) void alerts.loadMarks();
  });
  return computed(() =>
    alerts.raised.length === 0 ? [] : marksFor(alerts.raised, fields(), span(), clock.now()),
  );
}
