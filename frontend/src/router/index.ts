import { createRouter, createWebHistory, type RouteLocation, type Router } from 'vue-router';
import { useAuthStore } from '@/stores/auth';
import { useFleetStore } from '@/stores/fleet';
import { isTheme, usePreferencesStore } from '@/stores/preferences';
import { useTimeStore } from '@/stores/time';
import { first, rangeIn } from '@/series/range';
import { plain } from '@/series/who/group';
import DashboardView from '@/views/DashboardView.vue';
import { hostInLinks } from './hostInAddress';

declare module 'vue-router' {
  interface RouteMeta {
    title?: string | ((to: RouteLocation) => string);
    /** Whether the page can be seen without signing in. */
    open?: boolean;
    /** Whether it shows the time of the time bar, and one machine. */
    timed?: boolean;
  }
}

export const pages = [
  { to: '/', label: 'Dashboard', icon: 'dashboard' },
  { to: '/who', label: 'Who', icon: 'processes' },
  { to: '/profile', label: 'Profile', icon: 'flame' },
  { to: '/history', label: 'History', icon: 'history' },
  { to: '/alerts', label: 'Alerts', icon: 'bell' },
  { to: '/settings', label: 'Settings', icon: 'settings' },
] as const;

/** Before them, where the server is a hub. */
export const fleetPage = { to: '/fleet', label: 'Fleet', icon: 'fleet' } as const;
/** Those that are about one machine. */
export const isOfOneHost = (page: string): boolean => ['/', '/who', '/profile', '/history'].includes(page);

const whoPage = () => import('@/views/WhoOneView.vue');
const whoMeta = {
  timed: true,
  title: ({ params: { name, pid, path }, query }: RouteLocation): string => {
    if (typeof name === 'string') return plain(name);
    if (typeof pid === 'string') return `${plain(first(query.name) ?? 'process')} (${pid})`;
    return plain([path ?? []].flat().at(-1) ?? '/');
  },
};

/** What a page shows, for the title of the window. */
export function titleOf(to: RouteLocation): string | undefined {
  const { title } = to.meta;
  return typeof title === 'function' ? title(to) : title;
}

/** Whether Back stays on this page and shows another time. */
function cameFromAnotherTime(router: Router, to: RouteLocation): boolean {
  const { back } = router.options.history.state;
  if (typeof back !== 'string') return false;
  const before = router.resolve(back);
  const isSame = JSON.stringify(rangeIn(before.query)) === JSON.stringify(rangeIn(to.query));
  return before.path === to.path && !isSame;
}

export function makeRouter(): Router {
  const router = createRouter({
    history: createWebHistory(),
    routes: [
      {
        path: '/login',
        component: () => import('@/views/LoginView.vue'),
        meta: { open: true, title: 'Sign in' },
      },
      { path: '/', component: DashboardView, meta: { title: 'Dashboard', timed: true } },
      {
        path: '/who',
        component: () => import('@/views/WhoView.vue'),
        meta: { title: 'Who', timed: true },
      },
      { path: '/who/process/:pid(\\d+)', name: 'who-process', component: whoPage, meta: whoMeta },
      { path: '/who/name/:name', name: 'who-name', component: whoPage, meta: whoMeta },
      { path: '/who/cgroup/:path*', name: 'who-cgroup', component: whoPage, meta: whoMeta },
      {
        path: '/processes',
        redirect: ({ query: { pid, ...query } }) =>
          typeof pid === 'string' && /^\d+$/.test(pid)
            ? { name: 'who-process', params: { pid }, query }
            : { path: '/who', query },
      },
      {
        path: '/profile',
        component: () => import('@/views/ProfileView.vue'),
        meta: { title: 'Profile', timed: true },
      },
      {
        path: '/history',
        component: () => import('@/views/HistoryView.vue'),
        meta: { title: 'History', timed: true },
      },
      {
        path: '/fleet',
        component: () => import('@/views/FleetView.vue'),
        meta: { title: 'Fleet' },
      },
      {
        path: '/alerts',
        component: () => import('@/views/AlertsView.vue'),
        meta: { title: 'Alerts' },
      },
      {
        path: '/alerts/new',
        component: () => import('@/views/AlertRuleView.vue'),
        meta: { title: 'New alert rule' },
      },
      {
        path: '/alerts/rules/:name',
        component: () => import('@/views/AlertRuleView.vue'),
        meta: { title: ({ params: { name } }) => plain([name ?? ''].flat()[0] ?? '') },
      },
      {
        path: '/alerts/new-channel',
        component: () => import('@/views/AlertChannelView.vue'),
        meta: { title: 'New channel' },
      },
      {
        path: '/alerts/channels/:name',
        component: () => import('@/views/AlertChannelView.vue'),
        meta: { title: ({ params: { name } }) => plain([name ?? ''].flat()[0] ?? '') },
      },
      {
        path: '/settings',
        component: () => import('@/views/SettingsView.vue'),
        meta: { title: 'Settings' },
      },
      { path: '/:rest(.*)*', redirect: '/' },
    ],
    scrollBehavior: (to, from, saved) => {
      if (saved !== null) return saved;
      if (to.hash !== '') return { el: to.hash, top: 104 };
      return to.path === from.path ? false : { top: 0 };
    },
  });

  router.beforeEach((to, from) => {
    const auth = useAuthStore();
    const theme = to.query.theme;
    if (isTheme(theme)) usePreferencesStore().visitTheme = theme;
    if (to.meta.open !== true && !auth.signedIn) return { path: '/login', query: { next: to.fullPath } };
    if (to.path === '/login' && auth.signedIn) return '/';
    const fleet = useFleetStore();
    if (to.path === '/fleet' && !fleet.isHub) return '/';
    if (to.meta.timed !== true) return true;
    const lacksHost = fleet.isHub && !first(to.query.host);
    if (lacksHost && fleet.last === null) return { path: '/fleet' };
    if (lacksHost || rangeIn(to.query) === null) {
      // A link between pages keeps the time and the machine, and the address always says them.
      const time = rangeIn(to.query) === null ? useTimeStore().parameters : {};
      const query = { ...to.query, ...time, ...(lacksHost ? { host: fleet.last } : {}) };
      return { path: to.path, query, hash: to.hash, replace: from.matched.length === 0 };
    }
    return true;
  });
  router.afterEach((to, _, failure) => {
    if (failure !== undefined) return;
    useFleetStore().follow(to.meta.timed === true ? to.query : null);
    if (to.meta.timed === true) useTimeStore().follow(to.query, cameFromAnotherTime(router, to));
  });
  hostInLinks(router, () => useFleetStore().last);
  return router;
}
