/** Where the page goes on when another machine of the fleet is chosen: the same view at the same time, if that makes sense there. */
import { useRoute, type RouteLocationRaw } from 'vue-router';
import { useTimeStore } from '@/stores/time';

export function useHostSwitch() {
  const route = useRoute();
  const time = useTimeStore();

  function targetOf(host: string): RouteLocationRaw {
    if (route.meta.timed !== true) return { path: '/', query: { ...time.parameters, host } };
    // A PID is another process elsewhere, and so is a frame of a profile.
    const { pid, frame, ...query } = route.query;
    void [pid, frame];
    if (route.name === 'who-process') return { path: '/who', query: { ...time.parameters, host } };
    return { path: route.path, query: { ...query, host } };
  }

  return { targetOf };
}
