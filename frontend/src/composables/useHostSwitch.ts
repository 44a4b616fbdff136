/**
 * Where the page goes on when another machine of the fleet is chosen: the same view at the same time, if there
 * is such a view of it.
 */
import { useRoute, type RouteLocationRaw } from 'vue-router';
import { useTimeStore } from '@/stores/time';

export function useHostSwitch() {
  const route = useRoute();
  const time = useTimeStore();

  function targetOf(host: string): RouteLocationRaw {
    if (route.meta.timed !== true) return { path: '/', query: { ...time.parameters, host } };
    if (route.name === 'who-process') return { path: '/who', query: { ...time.parameters, host } };
    // A PID is another process elsewhere.
    return { path: route.path, query: { ...route.query, pid: undefined, host } };
  }

  return { targetOf };
}
