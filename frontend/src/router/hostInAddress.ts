/** Links to pages about one machine of a fleet name it, also where whoever made them did not think of it. */
import type {
  RouteLocationNormalizedLoaded,
  RouteLocationRaw,
  RouteLocationResolved,
  Router,
} from 'vue-router';

export function hostInLinks(router: Router, host: () => string | null): void {
  const resolve = router.resolve.bind(router);
  router.resolve = (to: RouteLocationRaw, from?: RouteLocationNormalizedLoaded): RouteLocationResolved => {
    const found = resolve(to, from);
    const wanted = host();
    if (found.meta.timed !== true || found.query.host !== undefined || wanted === null) return found;
    return resolve({ path: found.path, query: { ...found.query, host: wanted }, hash: found.hash }, from);
  };
}
