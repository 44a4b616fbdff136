/** The README's quick start, followed by someone without any right. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { BINARY, Server } from '../harness/server.mjs';
import { eventually, skip, test } from '../harness/suite.mjs';

const NOBODY = 65534;
const ROOT = path.resolve(import.meta.dirname, '../../..');

/** A command that runs another as a user without any right; that of an ordinary user is empty. */
async function unprivileged() {
  if (process.getuid() !== 0) return { wrapper: [], owner: null };
  const wrapper = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];
  const page = path.join(ROOT, 'frontend/dist/index.html');
  await promisify(execFile)(wrapper[0], [...wrapper.slice(1), 'test', '-x', BINARY, '-a', '-r', page]).catch(
    () => skip('an ordinary user cannot be had, or may not read this folder'),
  );
  return { wrapper, owner: NOBODY };
}

/** The cells of each visible row by the title of their column. */
async function table(page) {
  return await page.getByRole('table', { name: 'Processes' }).evaluate((element) => {
    const text = (cell) => cell.innerText.trim();
    const titles = [...element.querySelectorAll('[role=columnheader]')].map((cell) =>
      text(cell).replace(/[^A-Za-z]/g, ''),
    );
    const rows = [...element.querySelectorAll('[role=row]')].filter((row) =>
      row.querySelector('[role=cell]'),
    );
    return rows.map((row) =>
      Object.fromEntries(
        [...row.querySelectorAll('[role=cell]')].map((cell, at) => [titles[at], text(cell)]),
      ),
    );
  });
}

test('quick start: without any right the process table is full of numbers', async ({ browser, cleanup }) => {
  const { wrapper, owner } = await unprivileged();
  // As on a first start: no account is configured, and the interval is the default.
  const env = { ADMIN_USERNAME: undefined, ADMIN_PASSWORD: undefined, SAMPLING_INTERVAL_SECONDS: undefined };
  const server = await Server.start(env, wrapper, owner);
  cleanup(() => server.stop());
  const page = await browser.page({ server });
  await page.goto('/');
  const { username, password } = await server.firstAccount();
  await page.fill('[name=username]', username);
  await page.fill('[name=password]', password);
  await page.click('[type=submit]');
  await page.getByRole('link', { name: 'Who', exact: true }).first().click();

  const number = /^[\d.,]+\s/;
  const rows = await eventually('numbers in the table', async () => {
    const shown = await table(page);
    const complete = shown.filter((row) => number.test(row.CPU) && number.test(row.Memory));
    return shown.length > 0 && complete.length > 0.9 * shown.length && shown;
  });
  // An ordinary user may also read the storage traffic of their own processes; this server is one of them.
  await page.getByLabel('Filter').fill('perfwatch');
  const own = await eventually('its own row', async () =>
    (await table(page)).find((row) => number.test(row.Read) && number.test(row.Written)),
  );
  assert.match(own.CPU, /%/);
  assert.match(own.Memory, /[KMG]iB/);
  assert.ok(
    rows.every((row) => !('Threads' in row) || row.Threads !== '0'),
    'no process has no threads',
  );
  // The dashboard is just as full: only what needs extra rights says so.
  await page.getByRole('link', { name: 'Dashboard' }).click();
  for (const card of ['cpu', 'memory', 'network', 'disk']) {
    await page.locator(`#${card} canvas`).first().waitFor();
  }
  assert.deepEqual(page.problems, []);
});
