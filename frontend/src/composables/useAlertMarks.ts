/** Alerts to mark on a chart of some fields. */
import { computed, onMounted } from 'vue';
import type { Span } from '@/charts/geometry';
import { marksFor } from '@/series/alertMarks';
import { useAlertsStore } from '@/stores/alerts';
import { useClockStore } from '@/stores/clock';
import { useFleetStore } from '@/stores/fleet';

export function useAlertMarks(fields: () => readonly string[], span: () => Span) {
  const alerts = useAlertsStore();
  const clock = useClockStore();
  const fleet = useFleetStore();
  onMounted(() => {
    if (fields().length > 0) void alerts.loadMarks();
  });
  return computed(() => {
    const raised = fleet.isHub
      ? alerts.raised.filter(({ host }) => host === fleet.current?.id)
      : alerts.raised;
    return raised.length === 0 ? [] : marksFor(raised, fields(), span(), clock.now());
  });
}
