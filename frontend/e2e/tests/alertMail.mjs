/** From a CPU hog to the mail that names it, and to the mail that says that it is over. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import path from 'node:path';
import { Cgroup } from '../harness/cgroup.mjs';
import { NamedHog } from '../harness/load.mjs';
import { MailServer } from '../harness/mail.mjs';
import { Server, settledState } from '../harness/server.mjs';
import { eventually, skip, test } from '../harness/suite.mjs';

/** How much of each second some task waits for a CPU. Ordinary work, as of other tests, stays below. */
const RULE = `
[[rule]]
name = "cpu-busy"
summary = "Tasks wait for a CPU"
runbook = "Find out who it is."
field = "pressure.cpu.some.stalled_us_per_sec"
function = "average"
window = "10s"
warning = { above = 850_000, clear = 750_000 }
`;

test(
  'alerts: from a fresh start, a CPU hog raises pressure, the mail names it, and its end resolves',
  async ({ browser, store, cleanup }) => {
    const mail = await MailServer.start();
    if (mail === null) skip('python3-aiosmtpd is not installed');
    cleanup(() => mail.stop());
    const folder = await mkdtemp(path.join(tmpdir(), 'perfwatch-alerts-'));
    cleanup(() => rm(folder, { recursive: true, force: true }));
    const channel = `[[channel]]\nname = "mail"\nkind = "email"\nurl = "smtp+plain://127.0.0.1:${mail.port}"\nfrom = "pw@example.org"\nto = "ops@example.org"\nrules = "cpu-busy"\n`;
    await writeFile(path.join(folder, 'busy.toml'), RULE + channel);
    const server = await Server.start({ ...(await store.env()), PERFWATCH_ALERTS_DIR: folder });
    cleanup(() => server.stop());
    const session = await server.login();
    for (const needed of ['pressure', 'usage']) {
      const state = await settledState(server, session, needed);
      if (state !== 'active') skip(`${needed} is ${state} on this machine`);
    }
    const page = await browser.page({ server, session });
    await page.goto('/alerts');
    await page.locator('#rules').getByRole('link', { name: 'cpu-busy', exact: true }).waitFor();

    const name = `hog-${process.pid}`;
    const group = await Cgroup.make(name);
    if (group !== null) cleanup(() => group.remove());
    // On each CPU one that runs, and some that wait.
    const hogs = [];
    cleanup(() => Promise.all(hogs.map((hog) => hog.stop())));
    for (let i = 0; i < 4 * availableParallelism(); i += 1) {
      const hog = await NamedHog.start(name);
      hogs.push(hog);
      await group?.add(hog);
    }
    const alert = page
      .getByRole('region', { name: 'Now' })
      .getByRole('listitem')
      .filter({ hasText: 'cpu-busy' });
    await alert.getByText('warning', { exact: true }).waitFor({ timeout: 90_000 });
    const raised = await eventually('the mail', () => mail.mails[0], { within: 60_000 });
    assert.match(raised.subject, /^\[warning\] cpu-busy on .+: Tasks wait for a CPU$/);
    assert.match(
      raised.text,
      /^• Tasks wait for a CPU: \d+(\.\d)? ms\/s, .* above the level of 850 ms\/s; warning since/,
    );
    assert.match(raised.text, new RegExp(`^Who: .*\\b${name}\\b.*: \\d+ % of a CPU`, 'm'));
    assert.match(raised.text, /^Runbook: Find out who it is\.$/m);
    assert.deepEqual(raised.to, ['ops@example.org']);

    await Promise.all(hogs.map((hog) => hog.stop()));
    const over = await eventually('the mail of its end', () => mail.mails[1], { within: 90_000 });
    assert.match(over.subject, /^\[resolved\] cpu-busy on /);
    assert.match(over.text, /: cleared after .+, peak /);
    await alert.waitFor({ state: 'detached' });
    await page
      .getByRole('region', { name: 'History' })
      .getByRole('row')
      .filter({ hasText: 'cpu-busy' })
      .waitFor();
    assert.deepEqual(page.problems, []);
  },
  { alone: true },
);
