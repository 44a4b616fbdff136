/** Writes the chosen time into the address: of the page that is shown, or of the one that is still loading. */
import type { RouteLocationNormalized, Router } from 'vue-router';
import type { Navigate } from '@/stores/time';

export function timeInAddress(router: Router): Navigate {
  /** Where a navigation leads that has not arrived. */
  let pending: RouteLocationNormalized | null = null;
  router.beforeEach((to) => {
    pending = to;
  });
  // One that another has replaced ends after that one has begun.
  const ended = (to: RouteLocationNormalized): void => {
    if (pending === to) pending = null;
  };
  router.afterEach(ended);
  router.onError((_, to) => {
    ended(to);
  });

  return (parameters, entry) => {
    const { path, query, hash, meta } = pending ?? router.currentRoute.value;
    // The page that is left no longer has a say in its address.
    if (pending !== null && meta.timed !== true) return;
    const place = { path, query: { ...query, ...parameters }, hash };
    // A navigation that has not arrived has no entry that could be replaced.
    void (entry === 'new' || pending !== null ? router.push(place) : router.replace(place));
  };
}
