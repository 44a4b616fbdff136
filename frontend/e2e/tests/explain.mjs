/** Explain: who, what and which events made a range unlike another. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { accounted, measured } from '../harness/accounts.mjs';
import { seriousViolations } from '../harness/axe.mjs';
import { selectOn } from '../harness/charts.mjs';
import { NamedHog } from '../harness/load.mjs';
import { eventually, skip, test } from '../harness/suite.mjs';

/** Overwrites a file: nothing else on a busy machine writes as much. */
const WRITES = `text=$(head -c 4000000 /dev/zero | tr '\\0' x); while :; do echo "$text" > "$0"; done`;

const dialog = (page) => page.getByRole('dialog', { name: /^Explain / });
const firstLine = (page) => dialog(page).getByRole('region', { name: 'Who' }).getByRole('listitem').first();
const explained = (url) => url.searchParams.get('explain');

test(
  'explain: a spike on the dashboard is answered with who caused it, in two actions',
  async ({ browser, server, session, cleanup }) => {
    if (!(await measured(server, session))) skip('processes cannot be measured on this machine');
    // Something to compare with.
    await accounted(server, session, 'perfwatch', { cpuSeconds: 0, ago: 15_000 });
    // What it did in an earlier try would be usual.
    const name = `cause-${Date.now() % 1_000_000}`;
    // Not in /tmp, which may be memory.
    const folder = await mkdtemp(path.resolve(import.meta.dirname, '../../../target/writer-'));
    cleanup(() => rm(folder, { recursive: true, force: true }));
    const hog = await NamedHog.start(name, [path.join(folder, 'data'), '--shard', 'seven'], WRITES);
    cleanup(() => hog.stop());
    const from = Date.now();
    await accounted(server, session, name, { cpuSeconds: 3 });
    await hog.stop();
    const to = Date.now();

    const page = await browser.page({ server, session });
    await page.goto('/?range=1m');
    await selectOn(page, page.locator('#cpu [role=img]').first(), { from, to, length: 60_000 });
    const action = page.getByRole('button', { name: 'Explain', exact: true });
    await action.click();
    await firstLine(page).waitFor();
    const line = await firstLine(page).innerText();
    assert.match(line, new RegExp(`${name}.*: \\+[\\d.]+ [MG]iB\\/s written, from 0`));
    assert.match(line, /--shard seven/);
    await page.waitForURL((url) => explained(url) === 'before');
    const link = page.url();

    // Escape closes it, and the focus is where it was; so does Back.
    await page.keyboard.press('Escape');
    await dialog(page).waitFor({ state: 'detached' });
    assert.equal(explained(new URL(page.url())), null);
    assert.ok(await action.evaluate((button) => button === document.activeElement));
    await page.keyboard.press('Enter');
    await firstLine(page).waitFor();
    await page.goBack();
    await dialog(page).waitFor({ state: 'detached' });

    // Of a past range the time bar offers it, too.
    await page.getByRole('button', { name: 'Zoom', exact: true }).click();
    await page.getByRole('region', { name: 'Time' }).getByRole('button', { name: 'Explain' }).click();
    await firstLine(page).getByRole('link', { name }).click();
    await page.waitForURL((url) => url.pathname === `/who/name/${name}` && url.searchParams.has('from'));
    assert.deepEqual(page.problems, []);

    // The link shows the same, in each theme and on a phone.
    for (const theme of ['dark', 'light']) {
      for (const width of [390, 1440]) {
        const shared = await browser.page({ server, session, width, bypassCSP: true });
        await shared.goto(`${link}&theme=${theme}`);
        await firstLine(shared).getByRole('link', { name }).waitFor();
        assert.deepEqual(await seriousViolations(shared), [], `${theme}, ${width} px`);
        const over = await dialog(shared).evaluate((one) => one.scrollWidth - one.clientWidth);
        assert.ok(over <= 0, `it overflows at ${width} px`);
        await shared.close();
      }
    }
  },
  { alone: true },
);

test('explain: without history to compare with it says so, and a link to it can be closed', async ({
  browser,
  server,
  session,
}) => {
  const page = await browser.page({ server, session });
  const now = Date.now();
  const range = new URLSearchParams({
    explain: 'before',
    explain_from: new Date(now - 20_000).toISOString(),
    explain_to: new Date(now).toISOString(),
  });
  await page.goto(`/history?range=5m&${range}`);
  await dialog(page).getByRole('button', { name: 'Yesterday' }).click();
  await page.waitForURL((url) => explained(url) === 'yesterday');
  await dialog(page).getByText('There is no history of the comparison period').waitFor();
  await dialog(page).getByRole('button', { name: 'Close' }).click();
  await page.waitForURL((url) => url.pathname === '/history' && explained(url) === null);
  await eventually('no dialog', async () => (await dialog(page).count()) === 0);
  assert.deepEqual(page.problems, []);
});
