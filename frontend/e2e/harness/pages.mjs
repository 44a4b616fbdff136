/** Every page of the application, and what is there once it is shown. */
export const pages = [
  { address: '/login', ready: '[type=submit]', open: true },
  { address: '/', ready: '#cpu canvas' },
  { address: '/who', ready: '[role=table], #content .border-amber' },
  { address: '/who?tree=parent', ready: '[role=table], #content .border-amber' },
  { address: '/who/name/perfwatch', ready: '[role=img]' },
  { address: '/profile', ready: '[data-profile]' },
  { address: '/history', ready: 'table' },
  {
    address: '/history?p=scheduler:runqueue_wait.histogram&p=cpu:usage_percent,user&p=cpu:per_core',
    ready: 'table',
  },
  { address: '/history?mode=compare', ready: '[role=img]' },
  { address: '/history?mode=changes', ready: '[aria-label="What changed"]' },
  { address: '/alerts', ready: '#rules tbody tr' },
  { address: '/alerts/new', ready: '[data-verdict]' },
  { address: '/alerts/rules/cpu-pressure', ready: '[data-verdict]' },
  { address: '/settings', ready: '#sources tbody tr' },
];

/** Opens one of them, with nothing left to load. */
export async function show(page, { address, ready }, parameters = '') {
  await page.goto(
    parameters === '' ? address : `${address}${address.includes('?') ? '&' : '?'}${parameters}`,
  );
  await page.locator(ready).first().waitFor();
  await page.waitForFunction(() =>
    [...document.querySelectorAll('.skeleton')].every((one) => !one.checkVisibility()),
  );
}
