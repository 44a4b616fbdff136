import { describe, expect, it } from 'vitest';
import { createMemoryHistory, createRouter, type RouteComponent } from 'vue-router';
import { timeInAddress } from '@/router/timeInAddress';

const DAY = { range: '24h', from: undefined, to: undefined };
const HOUR = { range: '1h', from: undefined, to: undefined };

/** A dashboard, and a page that arrives or fails when it is told to. */
async function started() {
  let resolve: (page: RouteComponent) => void = () => undefined;
  let reject: (why: Error) => void = () => undefined;
  const arriving = new Promise<RouteComponent>((...both) => ([resolve, reject] = both));
  const page = { resolve, reject };
  const component = { render: () => null };
  const router = createRouter({
    history: createMemoryHistory(),
    routes: [
      { path: '/', component, meta: { timed: true } },
      { path: '/history', component: () => arriving, meta: { timed: true } },
      { path: '/settings', component: () => arriving },
    ],
  });
  await router.push('/?range=5m');
  return { router, choose: timeInAddress(router), page, component };
}

/** A navigation has passed its guards and waits for its page; a person's next click comes later still. */
const underWay = () => new Promise((resolve) => setTimeout(resolve));

describe('a chosen time', () => {
  it('is written into the address of the page', async () => {
    const { router, choose } = await started();
    choose(DAY, 'new');
    await expect.poll(() => router.currentRoute.value.fullPath).toBe('/?range=24h');
    router.back();
    await expect.poll(() => router.currentRoute.value.fullPath).toBe('/?range=5m');
  });

  it('goes along to a page that is still loading', async () => {
    const { router, choose, page, component } = await started();
    const going = router.push('/history?range=5m&p=cpu:user#top');
    await underWay();
    choose(DAY, 'new');
    choose(HOUR, 'same');
    page.resolve(component);
    await going;
    await expect.poll(() => router.currentRoute.value.fullPath).toBe('/history?range=1h&p=cpu:user#top');
    // The dashboard has kept its entry.
    router.back();
    await expect.poll(() => router.currentRoute.value.fullPath).toBe('/?range=5m');
  });

  it('does not keep from leaving for a page without time', async () => {
    const { router, choose, page, component } = await started();
    const going = router.push('/settings');
    await underWay();
    choose(DAY, 'new');
    page.resolve(component);
    await going;
    expect(router.currentRoute.value.fullPath).toBe('/settings');
  });

  it('stays on the page if the other one fails to load', async () => {
    const { router, choose, page } = await started();
    const going = router.push('/history?range=5m');
    page.reject(new Error('gone'));
    await expect(going).rejects.toThrow('gone');
    choose(DAY, 'new');
    await expect.poll(() => router.currentRoute.value.fullPath).toBe('/?range=24h');
  });
});
