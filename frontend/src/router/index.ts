import { createRouter, createWebHistory, type Router } from 'vue-router';
import { useAuthStore } from '@/stores/auth';
import { isTheme, usePreferencesStore } from '@/stores/preferences';
import DashboardView from '@/views/DashboardView.vue';

export const pages = [
  { to: '/', label: 'Dashboard', icon: 'dashboard' },
  { to: '/processes', label: 'Processes', icon: 'processes' },
  { to: '/history', label: 'History', icon: 'history' },
  { to: '/settings', label: 'Settings', icon: 'settings' },
] as const;

export function makeRouter(): Router {
  const router = createRouter({
    history: createWebHistory(),
    routes: [
      {
        path: '/login',
        component: () => import('@/views/LoginView.vue'),
        meta: { open: true, title: 'Sign in' },
      },
      { path: '/', component: DashboardView, meta: { title: 'Dashboard' } },
      {
        path: '/processes',
        component: () => import('@/views/ProcessesView.vue'),
        meta: { title: 'Processes' },
      },
      {
        path: '/history',
        component: () => import('@/views/HistoryView.vue'),
        meta: { title: 'History' },
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
      if (to.hash !== '') return { el: to.hash, top: 60 };
      return to.path === from.path ? false : { top: 0 };
    },
  });

  router.beforeEach((to) => {
    const auth = useAuthStore();
    const theme = to.query.theme;
    if (isTheme(theme)) usePreferencesStore().visitTheme = theme;
    if (to.meta.open !== true && !auth.signedIn) return { path: '/login', query: { next: to.fullPath } };
    if (to.path === '/login' && auth.signedIn) return '/';
    return true;
  });
  router.afterEach((to) => {
    const title = to.meta.title;
    document.title = typeof title === 'string' ? `${title} – PerfWatch` : 'PerfWatch';
  });
  return router;
}
