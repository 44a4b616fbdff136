import assert from 'node:assert/strict';
import { testOnEachStore } from '../harness/suite.mjs';

testOnEachStore(
  'a wrong password shows the server’s message, the right one opens the dashboard',
  async ({ browser, server }) => {
    const page = await browser.page({ server });
    await page.goto('/?range=15m');
    await page.waitForURL(
      (url) => url.pathname === '/login' && url.searchParams.get('next') === '/?range=15m',
    );
    await page.fill('[name=username]', server.username);
    await page.fill('[name=password]', 'wrong');
    await page.click('[type=submit]');
    await page.getByText('Invalid username or password').waitFor();
    await page.fill('[name=password]', server.password);
    await page.click('[type=submit]');
    await page.waitForURL((url) => url.pathname === '/' && url.searchParams.get('range') === '15m');
    await page.getByRole('navigation', { name: 'Pages' }).waitFor();
    // The browser itself reports the rejected request.
    assert.deepEqual(
      page.problems.filter((text) => !text.includes('401')),
      [],
    );
  },
);

testOnEachStore('signing out ends the session on the server too', async ({ browser, server }) => {
  const session = await server.login();
  const page = await browser.page({ server, session });
  await page.goto('/');
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.waitForURL((url) => url.pathname === '/login');
  await assert.rejects(server.call(session, 'GET', '/api/auth/me'), /401/);
});
