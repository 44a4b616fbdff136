/** Channels on the page: made, tested, told, and closed to viewers. Against a receiver on this machine. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { seriousViolations } from '../harness/axe.mjs';
import { Receiver } from '../harness/receiver.mjs';
import { Server } from '../harness/server.mjs';
import { eventually, test, testOnEachStore } from '../harness/suite.mjs';
import { phone } from '../harness/touch.mjs';

const SECRET = '/hooks/T0-hunter22';
const KEY = 'a-key-of-hunter33';

/** A server whose channels may reach this machine, with one channel in a file. */
async function serverWithChannels(store, cleanup, receiver) {
  const folder = await mkdtemp(path.join(tmpdir(), 'perfwatch-alerts-'));
  cleanup(() => rm(folder, { recursive: true, force: true }));
  const file = `[[channel]]\nname = "of-a-file"\nkind = "slack"\nurl = "${receiver.url}/file"\nseverity = "critical"\nrules = "no-such"\n`;
  await writeFile(path.join(folder, 'channels.toml'), file);
  const server = await Server.start({
    ...(await store.env()),
    PERFWATCH_ALERT_ALLOW_PRIVATE: 'true',
    PERFWATCH_ALERTS_DIR: folder,
  });
  cleanup(() => server.stop());
  return { server, session: await server.login() };
}

testOnEachStore(
  'alerts: a webhook channel is added, tested and told, and its secrets never come back',
  async ({ browser, store, cleanup }) => {
    const receiver = await Receiver.start();
    cleanup(() => receiver.stop());
    const { server, session } = await serverWithChannels(store, cleanup, receiver);
    const page = await browser.page({ server, session });
    const answers = [];
    page.on('response', async (response) => {
      if (response.url().includes('/api/')) answers.push(await response.text().catch(() => ''));
    });
    await page.goto('/alerts');
    const card = page.locator('#channels');
    const locked = card.getByRole('listitem').filter({ hasText: 'of-a-file' });
    await locked.getByText(/^of-a-file is set in .*channels\.toml:1; change it there\.$/).waitFor();
    await locked.getByText('critical only · no-such').waitFor();
    assert.deepEqual(await locked.getByRole('button').allTextContents(), ['Test']);

    await card.getByRole('link', { name: 'Add channel…' }).click();
    await page.getByRole('heading', { name: 'New channel' }).waitFor();
    const field = (name) => page.getByLabel(name, { exact: true }).last();
    await page.getByRole('textbox', { name: 'Name', exact: true }).fill('Hook');
    await page.getByRole('combobox', { name: 'Kind' }).selectOption('Webhook');
    await page.getByRole('textbox', { name: 'Rules' }).fill('memory-*');
    await page.getByRole('textbox', { name: 'Labels' }).fill('device');
    // What it lacks is told where it belongs.
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    const said = (name) => page.getByRole('group', { name, exact: true }).getByRole('alert');
    await said('Labels').filter({ hasText: '“device” is no label' }).waitFor();
    await page.getByRole('textbox', { name: 'Labels' }).fill('');
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    await said('Name').filter({ hasText: 'use 1 to 64 lower-case letters, digits and dashes' }).waitFor();
    await said('URL').filter({ hasText: 'webhook needs it' }).waitFor();

    // What was typed is still there after a look elsewhere.
    await page.getByRole('textbox', { name: 'Name', exact: true }).fill('hook');
    await page.getByRole('textbox', { name: 'URL' }).fill(`${receiver.url}${SECRET}`);
    await page.getByRole('link', { name: 'All alerts' }).click();
    await card.getByRole('link', { name: 'Add channel…' }).click();
    assert.equal(await page.getByRole('textbox', { name: 'URL' }).inputValue(), `${receiver.url}${SECRET}`);
    await field('Signing key').fill(KEY);
    receiver.status = 404;
    await page.getByRole('button', { name: 'Save and test' }).click();
    await page.getByText('Not delivered.').waitFor();
    const log = page.getByRole('list', { name: 'Conversation with hook' });
    await log.getByText('< HTTP/1.1 404 Not Found').waitFor();
    await log.getByText('so it says').waitFor();
    receiver.status = 200;
    await page.getByRole('button', { name: 'Test', exact: true }).click();
    await page.getByText(/^Delivered/).waitFor();
    await log.getByText('< HTTP/1.1 200 OK').waitFor();
    assert.equal(receiver.requests.length, 2);
    assert.equal(receiver.requests[1].path, SECRET);
    assert.equal(JSON.parse(receiver.requests[1].body).test, true);
    assert.match(receiver.requests[1].headers['x-perfwatch-signature'], /^sha256=[0-9a-f]{64}$/);

    // Changed without its secrets, which stay.
    await page.getByText('Stored; leave empty to keep it.').first().waitFor();
    assert.equal(await page.getByRole('textbox', { name: 'URL' }).inputValue(), '');
    await page.getByRole('textbox', { name: 'Rules' }).fill('memory-in-*');
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    const row = card.getByRole('listitem').filter({ hasText: 'hook' });
    await row.getByText(`Webhook · ${receiver.url} · memory-in-*`).waitFor();

    await server.call(session, 'PUT', '/api/alerts/rules/memory-in-use', {
      name: 'memory-in-use',
      summary: 'Memory is {value} full',
      field: 'memory.usage_percent',
      critical: { above: 0 },
    });
    const told = await eventually('the message', () => receiver.requests[2]);
    const { events } = JSON.parse(told.body);
    assert.equal(told.path, SECRET);
    assert.match(told.headers['x-perfwatch-signature'], /^sha256=[0-9a-f]{64}$/);
    assert.deepEqual(
      [events[0].event, events[0].rule, events[0].severity],
      ['raised', 'memory-in-use', 'critical'],
    );
    await row.getByText('delivers').waitFor();

    await row.getByRole('button', { name: 'Switch off hook' }).click();
    await row.getByText('off', { exact: true }).waitFor();
    await row.getByRole('button', { name: 'Test hook' }).click();
    await row.getByRole('list', { name: 'Conversation with hook' }).waitFor();
    await row.getByRole('button', { name: 'Delete hook' }).click();
    await row.getByRole('button', { name: 'Really delete? hook' }).click();
    await card.getByText('hook is deleted.').waitFor();
    await row.waitFor({ state: 'detached' });

    const seen = answers.join('\n') + (await page.content());
    assert.ok(answers.some((answer) => answer.includes('memory-in-*')));
    assert.ok(!seen.includes('hunter22') && !seen.includes('hunter33'), 'a secret came back');
    assert.deepEqual(
      page.problems.filter((problem) => !/422/.test(problem)),
      [],
    );
  },
);

test('alerts: channels are nothing for viewers', async ({ browser, server, session, cleanup }) => {
  const { id } = await server.call(session, 'POST', '/api/users', {
    username: 'channel-looker',
    password: 'only looking around',
    role: 'viewer',
  });
  cleanup(() => server.call(session, 'DELETE', `/api/users/${id}`));
  const theirs = await server.login('channel-looker', 'only looking around');
  const page = await browser.page({ server, session: theirs });
  await page.goto('/alerts');
  await page.getByText(/Administrators set whom alerts are told/).waitFor();
  assert.equal(await page.locator('#channels').getByRole('link').count(), 0);
  await page.goto('/alerts/channels/hook');
  await page.getByText('Only administrators see and change channels').waitFor();
  for (const [method, address] of [
    ['GET', '/api/alerts/channels'],
    ['PUT', '/api/alerts/channels/hook'],
    ['POST', '/api/alerts/channels/hook/test'],
    ['DELETE', '/api/alerts/channels/hook'],
  ]) {
    const body = method === 'PUT' ? { name: 'hook', kind: 'slack', url: 'https://a.example' } : undefined;
    await assert.rejects(server.call(theirs, method, address, body), /403/);
  }
  assert.deepEqual(page.problems, []);
});

test('alerts: channels fit on a phone, and axe finds nothing serious', async ({
  browser,
  store,
  cleanup,
}) => {
  const receiver = await Receiver.start();
  cleanup(() => receiver.stop());
  const { server, session } = await serverWithChannels(store, cleanup, receiver);
  await server.call(session, 'PUT', '/api/alerts/channels/chat', {
    name: 'chat',
    kind: 'slack',
    url: `${receiver.url}/chat`,
    rules: 'disk-*|file-system-full',
    labels: { mountpoint: '/srv*' },
  });
  receiver.status = 500;
  for (const theme of ['dark', 'light']) {
    const page = await browser.page({ server, session, bypassCSP: true, ...phone });
    const fits = async () => {
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      assert.ok(overflow <= 0, `${overflow} px too wide`);
      assert.deepEqual(await seriousViolations(page), []);
    };
    await page.goto(`/alerts?theme=${theme}`);
    await page.getByRole('button', { name: 'Test chat' }).click();
    await page.getByText('Not delivered.').waitFor();
    await fits();
    await page.getByRole('link', { name: 'chat', exact: true }).click();
    await page.getByRole('textbox', { name: 'Webhook URL' }).waitFor();
    await fits();
    assert.deepEqual(page.problems, []);
  }
});
