/**
 * Requests all processes at each displayed tick while `wanted`: not while the page is hidden or paused, nor after it was
 * left.
 */
import { onScopeDispose, watch } from 'vue';
import { useLiveStore } from '@/stores/live';
import { useProcessesStore } from '@/stores/processes';

export function useAllProcesses(wanted: () => boolean = () => true) {
  const live = useLiveStore();
  const processes = useProcessesStore();
  watch(
    [() => live.latest?.timestamp, wanted],
    ([tick, isWanted]) => {
      if (!isWanted) processes.leave();
      else if (tick !== undefined && document.visibilityState === 'visible') void processes.load();
    },
    { immediate: true },
  );
  onScopeDispose(processes.leave);
  return processes;
}
