/** The page of a hub: many machines, one of them at a time, and all of them at a glance. */
import assert from 'node:assert/strict';
import { seriousViolations } from '../harness/axe.mjs';
import { Fleet, missingNats } from '../harness/fleet.mjs';
import { eventually, skip, test } from '../harness/suite.mjs';

const HOSTS = ['rack1-a', 'rack2-b'];
const table = (page) => page.getByRole('table', { name: 'Hosts' });
const rowOf = (page, host) => table(page).getByRole('row', { name: new RegExp(host) });
const query = (page) => new URL(page.url()).searchParams;
const overflow = (page) =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

/** What the page asks about machines, and of which. */
function watchQuestions(page) {
  const asked = [];
  page.on('request', (request) => {
    const { pathname, searchParams } = new URL(request.url());
    if (/^\/api\/(history|events|profiles)\b/.test(pathname)) asked.push(searchParams.get('host'));
  });
  return asked;
}

test('the page of a hub: hosts are found, compared at a glance, and switched by keyboard', async ({
  browser,
  cleanup,
}) => {
  if (missingNats() !== null) skip(missingNats());
  const fleet = await Fleet.start(HOSTS);
  cleanup(() => fleet.stop());
  const session = await fleet.hub.login();
  const page = await browser.page({ server: fleet.hub, session, bypassCSP: true });

  // The first screen has all of them, with what they measure.
  await page.goto('/');
  await page.waitForURL(/\/fleet$/);
  for (const host of HOSTS)
    await rowOf(page, host)
      .getByText(/^[\d.]+ %$/)
      .first()
      .waitFor();
  assert.equal(await page.title(), 'Fleet – PerfWatch');
  assert.equal(await page.locator('[data-cell]').count(), HOSTS.length);
  assert.deepEqual(await seriousViolations(page), []);

  // Sorted, and back.
  await page.getByRole('button', { name: /^Memory/ }).click();
  await page.waitForURL(/sort=memory_percent/);
  await page
    .getByRole('columnheader', { name: 'Memory' })
    .and(page.locator('[aria-sort=descending]'))
    .waitFor();
  await page.getByRole('button', { name: 'Host', exact: true }).click();
  await page.waitForURL(/sort=name/);
  const names = () => table(page).getByRole('link').allInnerTexts();
  const inOrder = async (order) => (await names()).every((name, i) => name.includes(order[i]));
  await eventually('hosts by name', () => inOrder(HOSTS));
  await page.getByRole('button', { name: 'Host', exact: true }).click();
  await eventually('hosts by name, the last first', () => inOrder(HOSTS.toReversed()));

  // Found, and opened.
  await page.getByRole('searchbox', { name: 'Find hosts' }).fill('RACK2');
  await eventually('one host', async () => (await names()).length === 1);
  await rowOf(page, HOSTS[1]).getByRole('link').click();
  await page.waitForURL((url) => url.pathname === '/' && url.searchParams.get('host') === HOSTS[1]);
  await eventually('its name in the title', async () => (await page.title()).includes(HOSTS[1]));
  const switcher = page.getByTitle('Choose another host (h)');
  await switcher.getByText(HOSTS[1]).waitFor();
  await switcher.getByText('Live').waitFor();

  // Another one by keyboard, at the same time and in the same view.
  await page.getByRole('button', { name: '15 m', exact: true }).click();
  await page.waitForURL(/range=15m/);
  const choose = async (key, text) => {
    await page.locator('body').press(key);
    await page.getByRole('combobox', { name: key === 'h' ? 'Find a host' : 'Search everything' }).waitFor();
    await page.keyboard.type(text);
    await page
      .getByRole('option', { name: new RegExp(text) })
      .first()
      .waitFor();
    await page.keyboard.press('Enter');
  };
  await choose('h', HOSTS[0]);
  await page.waitForURL((url) => url.searchParams.get('host') === HOSTS[0]);
  assert.equal(query(page).get('range'), '15m');
  await page.getByRole('link', { name: 'History', exact: true }).first().click();
  await page.waitForURL((url) => url.pathname === '/history' && url.searchParams.get('host') === HOSTS[0]);
  await choose('/', HOSTS[1]);
  await page.waitForURL((url) => url.pathname === '/history' && url.searchParams.get('host') === HOSTS[1]);
  assert.equal(query(page).get('range'), '15m');

  // A link shows what was seen, of the host that it names: also what only the host itself has yet.
  const to = Math.floor(Date.now() / 1000) * 1000;
  const at = (ms) => new Date(ms).toISOString().replace('.000Z', 'Z');
  const link = `/history?p=cpu:usage_percent&from=${at(to - 60_000)}&to=${at(to)}&host=${HOSTS[0]}`;
  const reader = await browser.page({ server: fleet.hub, session, bypassCSP: true });
  const asked = watchQuestions(reader);
  await reader.goto(link);
  await reader.getByRole('row', { name: /^Usage [\d.]+ %/ }).waitFor();
  assert.equal(query(reader).get('host'), HOSTS[0]);
  assert.ok(asked.length > 0 && asked.every((host) => host === HOSTS[0]), asked.join());

  // Compared with the other machine at the same time.
  await reader.getByRole('button', { name: 'Compare', exact: true }).click();
  await reader.getByRole('button', { name: 'another host' }).click();
  await reader.getByRole('combobox', { name: 'Find a host' }).waitFor();
  await reader.keyboard.type(HOSTS[1]);
  await reader.keyboard.press('Enter');
  await reader.waitForURL((url) => url.searchParams.get('with') === HOSTS[1]);
  await reader.getByRole('row', { name: /^Usage [\d.]+ % vs/ }).waitFor();

  // Live, as on the machine itself, with its processes.
  await reader.goto(`/?host=${HOSTS[0]}&range=5m`);
  await reader
    .locator('#cpu header')
    .getByText(/[\d.]+ %/)
    .first()
    .waitFor();
  await reader.getByText('Live, every').first().waitFor();
  assert.deepEqual(await seriousViolations(reader), []);
  await reader.getByRole('link', { name: 'Who', exact: true }).first().click();
  await reader
    .getByRole('row', { name: /nats-server/ })
    .first()
    .waitFor();

  // A host that does not exist is said to be unknown.
  await reader.goto('/?host=nowhere&range=5m');
  await reader.getByTitle('Choose another host (h)').getByText('unknown').waitFor();

  // Once their first slots are over, all of them are on one chart, and compared with before.
  await eventually(
    'history of both hosts',
    async () => {
      const { hosts } = await fleet.hub.call(session, 'GET', '/api/hosts');
      return HOSTS.every((name) => hosts.find(({ id }) => id === name)?.newest);
    },
    { within: 100_000, every: 1000 },
  );
  await reader.goto('/fleet?range=5m');
  const chart = reader.getByRole('region', { name: /on all hosts$/ });
  for (const host of HOSTS)
    await chart.getByRole('row', { name: new RegExp(`${host}\\)? [\\d.]+ %`) }).waitFor();
  await chart.getByRole('button', { name: 'Field…' }).click();
  await reader.getByRole('searchbox', { name: 'Search fields' }).fill('load_avg.0');
  await reader.getByRole('checkbox').first().click();
  await reader.waitForURL(/field=cpu.load_avg.0/);
  await reader
    .getByRole('region', { name: /Load.*on all hosts$/ })
    .getByRole('row', { name: new RegExp(HOSTS[0]) })
    .waitFor();
  const changed = reader.getByRole('region', { name: 'What changed across the fleet' });
  await changed.getByRole('button', { name: 'Compare' }).click();
  await changed.getByText('2 hosts').first().waitFor();
  assert.deepEqual(await seriousViolations(reader), []);

  // On a phone.
  const phone = await browser.page({ server: fleet.hub, session, width: 360, height: 740, bypassCSP: true });
  await phone.goto('/fleet');
  await rowOf(phone, HOSTS[0])
    .getByText(/^[\d.]+ %$/)
    .first()
    .waitFor();
  assert.equal(await overflow(phone), 0);
  assert.deepEqual(await seriousViolations(phone), []);
  await rowOf(phone, HOSTS[0]).getByRole('link').click();
  await phone.waitForURL((url) => url.searchParams.get('host') === HOSTS[0]);
  assert.equal(await overflow(phone), 0);
  assert.deepEqual([...page.problems, ...phone.problems], []);
});

test('with a single machine nothing of a fleet is in the way', async ({ browser, server, session }) => {
  const page = await browser.page({ server, session });
  const asked = watchQuestions(page);
  await page.goto('/fleet');
  await page.waitForURL((url) => url.pathname === '/');
  await page.getByText('Live, every').first().waitFor();
  assert.equal(query(page).has('host'), false);
  await page.locator('body').press('h');
  assert.equal(await page.getByRole('dialog').count(), 0);
  assert.equal(await page.getByTitle('Choose another host (h)').count(), 0);
  assert.equal(await page.getByRole('link', { name: 'Fleet' }).count(), 0);
  await page.getByRole('link', { name: 'History', exact: true }).first().click();
  await page.locator('table').first().waitFor();
  assert.ok(asked.length > 0 && asked.every((host) => host === null), asked.join());
  assert.deepEqual(page.problems, []);
});
