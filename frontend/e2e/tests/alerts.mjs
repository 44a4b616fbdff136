/** Alerts in the header and on their page, from a rule that is raised at once. */
import assert from 'node:assert/strict';
import { seriousViolations } from '../harness/axe.mjs';
import { eventually, testOnEachStore } from '../harness/suite.mjs';

const name = 'memory-in-use';
const rule = {
  name,
  summary: 'Memory is {value} full',
  runbook: 'Look at https://wiki.example.org/memory.',
  field: 'memory.usage_percent',
  critical: { above: 0 },
};

async function raised({ server, session, cleanup }) {
  const address = `/api/alerts/rules/${name}`;
  await server.call(session, 'PUT', address, rule);
  const find = async () => {
    const { alerts } = await server.call(session, 'GET', '/api/alerts');
    return alerts.find((alert) => alert.rule === name);
  };
  cleanup(async () => {
    await server.call(session, 'DELETE', address).catch(() => null);
    await eventually('the alert is gone', async () => (await find()) === undefined);
  });
  await eventually('the alert is raised', async () => (await find())?.episode);
}

testOnEachStore(
  'alerts: one is raised, seen, acknowledged and cleared',
  async ({ browser, server, session, cleanup }) => {
    await raised({ server, session, cleanup });
    const page = await browser.page({ server, session });
    await page.goto('/');
    const bell = page.getByRole('link', { name: /alerts? (is|are) firing/ });
    await bell.locator('[data-severity=critical]').waitFor();
    await bell.click();
    const alert = page.getByRole('listitem').filter({ hasText: name });
    await alert.getByRole('heading', { name: /^Memory is [\d.]+ % full$/ }).waitFor();
    await alert.getByText(/^for \d+ s$/).waitFor();
    assert.equal(
      await alert.getByRole('link', { name: 'wiki.example.org' }).getAttribute('href'),
      'https://wiki.example.org/memory',
    );
    await alert.locator('a[href^="/history?p=memory:usage_percent"]').waitFor();

    await alert.getByLabel(`Note on ${name}`).fill('as it should');
    await alert.getByRole('button', { name: 'Acknowledge' }).click();
    await alert.getByText('Acknowledged by admin: as it should').waitFor();
    const past = page.getByRole('region', { name: 'History' }).getByRole('row').filter({ hasText: name });
    await past.filter({ hasText: 'acknowledged by admin · as it should' }).first().waitFor();
    await past.first().getByText('not yet').waitFor();

    const rules = page.locator('#rules');
    const row = rules.getByRole('row').filter({ hasText: name });
    await row.getByText('firing').waitFor();
    await row.getByRole('button', { name: `Switch off ${name}` }).click();
    await rules.getByText(`${name} is switched off.`).waitFor();
    await alert.waitFor({ state: 'detached' });
    await past.first().getByText('The rule was removed or switched off').waitFor();
    assert.equal(await past.getByText('not yet').count(), 0);
    await row.getByRole('button', { name: `Delete ${name}` }).click();
    await row.getByRole('button', { name: `Really delete? ${name}` }).click();
    await rules.getByText(`${name} is deleted.`).waitFor();
    await row.waitFor({ state: 'detached' });
    assert.deepEqual(page.problems, []);
  },
);

testOnEachStore(
  'alerts: a stock rule is switched off and restored, and viewers only look',
  async ({ browser, server, session, cleanup }) => {
    const stock = '/api/alerts/rules/swap-storm';
    cleanup(() => server.call(session, 'DELETE', stock).catch(() => null));
    const page = await browser.page({ server, session });
    await page.goto('/alerts');
    const rules = page.locator('#rules');
    const row = rules.getByRole('row').filter({ hasText: 'swap-storm' });
    await row.getByRole('button', { name: 'Switch off swap-storm' }).click();
    await row.getByText('API', { exact: true }).waitFor();
    await row.getByText('off', { exact: true }).waitFor();
    await row.getByRole('button', { name: 'Restore swap-storm' }).click();
    await row.getByRole('button', { name: 'Really restore? swap-storm' }).click();
    await row.getByText('stock', { exact: true }).waitFor();
    assert.deepEqual(page.problems, []);

    const { id } = await server.call(session, 'POST', '/api/users', {
      username: 'looker',
      password: 'only looking around',
      role: 'viewer',
    });
    cleanup(() => server.call(session, 'DELETE', `/api/users/${id}`));
    await raised({ server, session, cleanup });
    const theirs = await browser.page({
      server,
      session: await server.login('looker', 'only looking around'),
    });
    await theirs.goto('/alerts');
    await theirs.getByRole('heading', { name: /^Memory is/ }).waitFor();
    assert.equal(
      await theirs
        .locator('#content')
        .getByRole('button', { name: /Ack|Switch|Delete/ })
        .count(),
      0,
    );
    assert.deepEqual(theirs.problems, []);
  },
);

testOnEachStore(
  'alerts: on a phone nothing overflows, and axe finds nothing serious',
  async ({ browser, server, session, cleanup }) => {
    await raised({ server, session, cleanup });
    for (const theme of ['dark', 'light']) {
      const page = await browser.page({
        server,
        session,
        bypassCSP: true,
        width: 390,
        height: 844,
        hasTouch: true,
        isMobile: true,
      });
      await page.goto(`/?theme=${theme}`);
      await page.getByRole('link', { name: 'Alerts', exact: true }).click();
      await page.getByRole('heading', { name: /^Memory is/ }).waitFor();
      await page.locator('#rules tbody tr').first().waitFor();
      await page.getByRole('region', { name: 'History' }).getByRole('row').nth(1).waitFor();
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      assert.ok(overflow <= 0, `${overflow} px too wide`);
      assert.deepEqual(await seriousViolations(page), []);
      assert.deepEqual(page.problems, []);
    }
  },
);
