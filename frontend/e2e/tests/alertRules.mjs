/** Rules made on the page: from a chart, tried on history, silenced, and cleared by the end of what raised them. */
import assert from 'node:assert/strict';
import { NamedHog } from '../harness/load.mjs';
import { Person } from '../harness/person.mjs';
import { eventually, test, testOnEachStore } from '../harness/suite.mjs';

const forget = (server, session, name) =>
  server.call(session, 'DELETE', `/api/alerts/rules/${name}`).catch(() => null);
const rulesOf = async (server, session) => (await server.call(session, 'GET', '/api/alerts/rules')).rules;

testOnEachStore(
  'alerts: a hog raises the rule that was made on the page, the bell counts it, and its end clears it',
  async ({ browser, server, session, cleanup }) => {
    const name = `hog-${process.pid}`;
    const hog = await NamedHog.start(name);
    cleanup(() => hog.stop());
    cleanup(() => forget(server, session, name));
    const page = await browser.page({ server, session });
    await page.goto('/alerts');
    await page.getByRole('link', { name: 'New rule' }).click();
    await page.getByRole('heading', { name: 'New alert rule' }).waitFor();
    await page.getByLabel('Field', { exact: true }).getByRole('textbox').fill('processes.top.cpu_percent');
    await page.getByLabel('Field', { exact: true }).getByRole('textbox').press('Tab');
    await page.getByLabel('pid', { exact: true }).fill(String(hog.pid));
    await page.getByLabel('Function').selectOption('last');
    await page.getByRole('textbox', { name: 'Name', exact: true }).fill(name);
    await page.getByRole('textbox', { name: 'Warning: raised above' }).fill('5 %');
    await page.getByRole('textbox', { name: 'Warning: cleared at' }).fill('3');
    await page.getByRole('textbox', { name: 'For', exact: true }).fill('2s');
    await page.getByRole('textbox', { name: 'Keep firing for' }).fill('1s');
    await page.getByRole('textbox', { name: 'Keep firing for' }).press('Tab');
    await page.getByRole('button', { name: 'Save rule' }).click();
    await page.getByRole('heading', { name: 'Alerts', level: 1 }).waitFor();

    const alert = page.getByRole('listitem').filter({ hasText: name });
    await alert.getByText('warning').waitFor({ timeout: 60_000 });
    await page.getByRole('link', { name: /[1-9]\d* alerts? (is|are) firing/ }).waitFor();

    await page
      .getByRole('button', { name: `Silence ${name}` })
      .first()
      .click();
    const dialog = page.getByRole('dialog', { name: 'Silence alerts' });
    assert.equal(await dialog.getByRole('textbox', { name: 'Rule' }).inputValue(), name);
    await dialog.getByRole('textbox', { name: 'Reason' }).fill('it is a test');
    await dialog.getByRole('button', { name: 'Silence', exact: true }).click();
    await alert.getByText(/silenced/).waitFor();
    const silence = page.locator('#silences li').filter({ hasText: name });
    await silence.getByText('it is a test · admin').waitFor();
    await silence.getByRole('button', { name: /^End the silence/ }).click();
    await silence.waitFor({ state: 'detached' });

    await hog.stop();
    await alert.waitFor({ state: 'detached', timeout: 60_000 });
    const past = page.getByRole('region', { name: 'History' }).getByRole('row').filter({ hasText: name });
    await past.first().waitFor();
    assert.equal(await past.getByText('not yet').count(), 0);
    assert.deepEqual(page.problems, []);
  },
);

test('alerts: from a chart to a rule in two clicks, tried on history before it is saved', async ({
  browser,
  server,
  session,
  cleanup,
}) => {
  const page = await browser.page({ server, session });
  await page.goto('/?range=5m');
  await page.locator('#memory canvas').first().waitFor();
  const person = new Person(page);
  await person.click(page.getByRole('link', { name: 'Alert me on Memory', exact: true }));
  await page.waitForURL((url) => url.pathname === '/alerts/new');
  await page.locator('[data-verdict]').waitFor();
  const name = await page.getByRole('textbox', { name: 'Name', exact: true }).inputValue();
  assert.match(name, /^memory-/);
  cleanup(() => forget(server, session, name));
  await person.click(page.getByRole('button', { name: 'Save rule' }));
  await page.locator('#rules').getByRole('link', { name, exact: true }).waitFor();
  assert.equal(person.actions, 2);
  const made = (await rulesOf(server, session)).find((rule) => rule.name === name);
  assert.match(made.field, /^memory\./);
  assert.deepEqual(made.problems, []);

  // Changed: the line is dragged and moved by keys, and each time it is tried again.
  await page.locator('#rules').getByRole('link', { name, exact: true }).click();
  await page.getByLabel('Function').selectOption('last');
  await page.getByRole('textbox', { name: 'For', exact: true }).fill('0');
  const verdict = page.locator('[data-verdict]');
  const line = page.getByRole('slider', { name: 'Warning: above' });
  await line.waitFor();
  const value = async () => Number(await line.getAttribute('aria-valuenow'));
  await line.focus();
  await page.keyboard.press('Home');
  assert.equal(await value(), 0);
  await verdict.filter({ hasText: /^It would have fired/ }).waitFor();
  await page.keyboard.press('PageUp');
  await eventually('the key moves it', async () => (await value()) > 0);
  const box = await line.boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width / 2, box.y - 400, { steps: 5 });
  await page.mouse.up();
  const top = Number(await line.getAttribute('aria-valuemax'));
  await eventually('the pointer moves it', async () => (await value()) > top / 2);
  await verdict.filter({ hasText: /^It would/ }).waitFor();

  // What the server does not take is told beside its input.
  await page.getByRole('textbox', { name: 'For', exact: true }).fill('soon');
  await page.getByRole('textbox', { name: 'For', exact: true }).press('Tab');
  await page.getByRole('group', { name: 'For', exact: true }).getByRole('alert').waitFor();
  assert.deepEqual(
    page.problems.filter((problem) => !/422/.test(problem)),
    [],
  );
});

testOnEachStore(
  'alerts: maintenance windows are made in a time zone, and rules go out and come in as files',
  async ({ browser, server, session, cleanup }) => {
    const page = await browser.page({ server, session });
    await page.goto('/alerts');
    await page.getByRole('button', { name: 'Maintenance window…' }).click();
    const dialog = page.getByRole('dialog', { name: 'Maintenance window' });
    await dialog.getByRole('textbox', { name: 'Rule' }).fill('no-rule-of-others');
    await dialog.getByRole('textbox', { name: 'Reason' }).fill('updates');
    await dialog.getByRole('combobox', { name: 'Time zone' }).fill('Europe/Atlantis');
    await dialog.getByRole('button', { name: 'Save' }).click();
    await dialog.getByText(/Expected a time zone/).waitFor();
    await dialog.getByRole('combobox', { name: 'Time zone' }).fill('America/New_York');
    await dialog.getByRole('button', { name: 'Mon' }).click();
    await dialog.getByRole('button', { name: 'Save' }).click();
    const window = page
      .getByRole('list', { name: 'Maintenance windows' })
      .getByText('Mon, Sun 02:00 – 04:00 America/New_York');
    await window.waitFor();
    await page.getByRole('button', { name: /^Remove Mon, Sun/ }).click();
    await page.getByRole('button', { name: /^Really remove Mon, Sun/ }).click();
    await window.waitFor({ state: 'detached' });

    const name = 'from-a-file';
    cleanup(() => forget(server, session, name));
    const text = `[[rule]]\nname = "${name}"\nfield = "cpu.usage_percent"\nwarning = { above = 101 }\n`;
    const load = (content) =>
      page
        .getByLabel('File of rules')
        .setInputFiles({ name: 'rules.toml', mimeType: 'application/toml', buffer: Buffer.from(content) });
    await load(text.replace('usage_percent', 'usage_percnt'));
    await page.getByText(/line:3: from-a-file: field: .*did you mean cpu.usage_percent/).waitFor();
    await load(text);
    await page.getByText(`${name} is imported.`).waitFor();
    await page.locator('#rules').getByRole('link', { name, exact: true }).waitFor();
    const download = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Export TOML' }).click();
    assert.equal((await download).suggestedFilename(), 'perfwatch-rules.toml');
    assert.deepEqual(
      page.problems.filter((problem) => !/422/.test(problem)),
      [],
    );
  },
);

test('alerts: what was raised is shaded on the chart of its field', async ({
  browser,
  server,
  session,
  cleanup,
}) => {
  const name = 'shaded';
  cleanup(() => forget(server, session, name));
  await server.call(session, 'PUT', `/api/alerts/rules/${name}`, {
    name,
    field: 'memory.usage_percent',
    critical: { above: 0 },
  });
  await eventually('it is raised', async () => {
    const { alerts } = await server.call(session, 'GET', '/api/alerts');
    return alerts.some(({ rule, episode }) => rule === name && episode);
  });
  const page = await browser.page({ server, session });
  await page.goto('/history?p=memory:usage_percent&range=5m');
  const chart = page.getByRole('img', { name: 'Memory: Usage' });
  await chart.locator('[data-alert-spans] > div').first().waitFor();
  const { x, y, width, height } = await chart.boundingBox();
  await page.mouse.move(x + width - 10, y + height / 2);
  await chart.getByText(`Alert ${name}`).waitFor();
  assert.deepEqual(page.problems, []);
});
