import assert from 'node:assert/strict';
import { Server } from '../harness/server.mjs';
import { eventually, testOnEachStore } from '../harness/suite.mjs';

testOnEachStore(
  'the sampling interval changes live and survives a reload',
  async ({ browser, store, cleanup }) => {
    const server = await Server.start(await store.env());
    cleanup(() => server.stop());
    const session = await server.login();
    const page = await browser.page({ server, session });
    await page.goto('/settings');
    await page.getByLabel(/^Interval/).fill('2');
    await page.locator('#sampling').getByRole('button', { name: 'Save' }).click();
    await page.getByText('Takes effect at the next tick').waitFor();
    await page.reload();
    await eventually(
      'the stored interval',
      async () => (await page.getByLabel(/^Interval/).inputValue()) === '2',
    );
    await page.getByRole('link', { name: 'Dashboard' }).click();
    await page.getByText('Live, every 2 s').waitFor({ timeout: 20_000 });
    assert.deepEqual(page.problems, []);
  },
);

testOnEachStore(
  'a clean-up reports what it did, and the policy is saved',
  async ({ browser, server, session }) => {
    const page = await browser.page({ server, session });
    await page.goto('/settings');
    const card = page.locator('#retention');
    await card.getByRole('button', { name: 'Clean up now' }).click();
    await card.getByText(/^Deleted \d+, downsampled \d+\.$/).waitFor();
    await card.getByLabel(/^Downsample after/).fill('30');
    await card.getByRole('button', { name: 'Save' }).click();
    await card.getByText('Saved.').waitFor();
    const { downsample_after_days } = await server.call(session, 'GET', '/api/retention');
    assert.equal(downsample_after_days, 30);
    assert.deepEqual(page.problems, []);
  },
);

testOnEachStore(
  'an administrator adds a viewer, who has read-only access',
  async ({ browser, server, session }) => {
    const page = await browser.page({ server, session });
    await page.goto('/settings');
    const users = page.locator('#users');
    await users.getByLabel('New user').fill('onlooker');
    await users.getByLabel('Password').fill('only looking around');
    await users.getByRole('button', { name: 'Add user' }).click();
    await users.getByText('User onlooker added.').waitFor();

    const viewer = await server.login('onlooker', 'only looking around');
    const theirs = await browser.page({ server, session: viewer });
    await theirs.goto('/settings');
    await theirs.getByText('Read-only access').waitFor();
    assert.equal(await theirs.getByLabel(/^Interval/).isDisabled(), true);
    assert.equal(await theirs.locator('#users').count(), 0);

    await users.getByRole('button', { name: 'Delete onlooker' }).click();
    await users.getByRole('button', { name: 'Delete onlooker' }).click();
    await users.getByText('User onlooker deleted.').waitFor();
    await theirs.waitForURL((url) => url.pathname === '/login');
    assert.deepEqual(page.problems, []);
  },
);

testOnEachStore(
  'an API token is shown once, can read, and stops working when revoked',
  async ({ browser, server, session }) => {
    const page = await browser.page({ server, session });
    await page.goto('/settings');
    const card = page.locator('#tokens');
    await card.getByRole('button', { name: 'Scripts' }).click();
    assert.equal(await card.getByLabel('Name').inputValue(), 'script');
    await card.getByRole('button', { name: 'Create token' }).click();
    await card.getByText('Copy it now').waitFor();
    const snippet = await card.locator('code').last().innerText();
    const token = { token: /pwt_[\w-]+/.exec(snippet)[0] };
    await server.call(token, 'GET', '/api/sources');
    await assert.rejects(server.call(token, 'PUT', '/api/config', {}), /40[13]/);
    await card.getByRole('button', { name: 'Revoke script' }).click();
    await card.getByText('Token script revoked.').waitFor();
    await assert.rejects(server.call(token, 'GET', '/api/sources'), /401/);
    assert.deepEqual(page.problems, []);
  },
);

testOnEachStore(
  'changing the password signs out other sessions, not this one',
  async ({ browser, store, cleanup }) => {
    const server = await Server.start(await store.env());
    cleanup(() => server.stop());
    const [mine, other] = [await server.login(), await server.login()];
    const page = await browser.page({ server, session: mine });
    await page.goto('/settings');
    const card = page.locator('#account');
    await card.getByLabel('Current password').fill('not this one');
    await card.getByLabel(/^New password At least/).fill('a new and longer one');
    await card.getByLabel('Confirm new password').fill('a new and longer one');
    await card.getByRole('button', { name: 'Change password' }).click();
    await card.getByText('Current password is incorrect').waitFor();
    await card.getByLabel('Current password').fill(server.password);
    await card.getByRole('button', { name: 'Change password' }).click();
    await card.getByText('Password changed').waitFor();
    await assert.rejects(server.call(other, 'GET', '/api/auth/me'), /401/);
    await page.reload();
    await page.getByRole('heading', { name: 'Settings' }).waitFor();
    assert.deepEqual(
      // The old token's stream may reconnect before the new token arrives.
      page.problems.filter((text) => !/40[01]|Authentication failed/.test(text)),
      [],
    );
  },
);
