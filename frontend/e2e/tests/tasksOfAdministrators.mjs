/** Everyday tasks in the settings and at missing counters, with the number of things that a person does for them. */
import assert from 'node:assert/strict';
import { Person } from '../harness/person.mjs';
import { skip, test, testOnEachStore } from '../harness/suite.mjs';

const clipboard = { permissions: ['clipboard-read', 'clipboard-write'] };

const settings = (page) => page.getByRole('link', { name: 'Settings' });
const copied = (page) => page.evaluate(() => navigator.clipboard.readText());

testOnEachStore(
  'task: a colleague gets a read-only login in three clicks and a name',
  async ({ browser, server, session, cleanup }) => {
    const page = await browser.page({ server, session, ...clipboard });
    await page.goto('/');
    const person = new Person(page);
    await person.click(settings(page));
    const users = page.locator('#users');
    await person.type(users.getByLabel('New user'), 'colleague');
    await person.click(users.getByRole('button', { name: 'Add user' }));
    await person.click(users.getByRole('button', { name: 'Copy' }));
    assert.ok(person.actions <= 3, `${person.actions} actions`);
    await users.getByText('Copied').waitFor();
    cleanup(async () => {
      const { users: all } = await server.call(session, 'GET', '/api/users');
      const { id } = all.find(({ username }) => username === 'colleague');
      await server.call(session, 'DELETE', `/api/users/${id}`);
    });
    const [, url, username, password] = /^(\S+)\nUsername: (\S+)\nPassword: (\S+)$/.exec(await copied(page));
    assert.equal(url, `${server.url}/`);
    const theirs = await server.login(username, password);
    assert.equal((await server.call(theirs, 'GET', '/api/auth/me')).role, 'viewer');
    // They forgot it.
    await users.getByRole('button', { name: 'Reset the password of colleague' }).click();
    await users.getByRole('button', { name: 'Reset the password of colleague' }).click();
    await users.getByText('colleague has a new password and is signed out everywhere.').waitFor();
    const [, next] = /Password: (\S+)/.exec(await users.locator('code').innerText());
    assert.notEqual(next, password);
    await assert.rejects(server.call(theirs, 'GET', '/api/auth/me'), /401/);
    await server.login(username, next);
    assert.deepEqual(page.problems, []);
  },
);

test('task: Prometheus gets a token and its configuration in four clicks', async ({
  browser,
  server,
  session,
}) => {
  const page = await browser.page({ server, session, ...clipboard });
  await page.goto('/');
  const person = new Person(page);
  await person.click(settings(page));
  const card = page.locator('#tokens');
  await person.click(card.getByRole('button', { name: 'Prometheus' }));
  await person.click(card.getByRole('button', { name: 'Create token' }));
  await person.click(card.getByRole('button', { name: 'Copy' }));
  assert.ok(person.actions <= 4, `${person.actions} actions`);
  await card.getByText('Copied').waitFor();
  const snippet = await copied(page);
  const value = (name) => new RegExp(`${name}: (\\S+)`).exec(snippet)[1];
  const target = /targets: \['([^']+)'\]/.exec(snippet)[1];
  const scraped = await fetch(`${value('scheme')}://${target}${value('metrics_path')}`, {
    headers: { authorization: `Bearer ${value('credentials')}` },
  });
  assert.equal(scraped.status, 200);
  assert.match(await scraped.text(), /^perfwatch_/m);
  assert.deepEqual(page.problems, []);
});

testOnEachStore(
  'task: 90 days are kept, knowing what they take',
  async ({ browser, server, session, cleanup }) => {
    const page = await browser.page({ server, session });
    await page.goto('/');
    const person = new Person(page);
    await person.click(settings(page));
    const card = page.locator('#retention');
    await card
      .locator('[data-forecast]')
      .getByText(/disk space|in the end/)
      .waitFor();
    const before = (await server.call(session, 'GET', '/api/retention')).retention_days;
    cleanup(() => server.call(session, 'PUT', '/api/retention', { retention_days: before }));
    await person.type(card.getByLabel(/^Keep history for/), '90');
    await person.click(card.getByRole('button', { name: 'Save' }));
    assert.ok(person.actions <= 2, `${person.actions} actions`);
    await card.getByText('Saved.').waitFor();
    assert.equal((await server.call(session, 'GET', '/api/retention')).retention_days, 90);
    assert.deepEqual(page.problems, []);
  },
);

test('task: why counters are missing and how to get them is on the dashboard', async ({
  browser,
  server,
  session,
}) => {
  const page = await browser.page({ server, session, ...clipboard });
  await page.goto('/');
  const person = new Person(page);
  const card = page.locator('#perf_events');
  await card.locator('tbody tr').first().waitFor();
  const missing = card.getByText(/events? unavailable/);
  if ((await card.locator('tbody tr').count()) > 4) skip('this machine has a hardware PMU');
  await person.click(missing);
  await card.getByText('How to enable them').waitFor();
  await person.click(card.getByRole('button', { name: 'Copy' }));
  await card.getByText('Copied').waitFor();
  assert.ok(person.actions <= 2, `${person.actions} actions`);
  assert.notEqual(await copied(page), '');
});
