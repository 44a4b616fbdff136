/**
 * The page in Chromium against the real server on both stores: `npm run test:e2e [-- part of a test's name]`.
 * The last line counts; `cargo xtask test` reads it.
 */
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { Browser, missingBrowser } from './harness/browser.mjs';
import { Postgres } from './harness/postgres.mjs';
import { BINARY, Server } from './harness/server.mjs';
import { runAll } from './harness/suite.mjs';

function report({ passed, failed, skipped }) {
  console.log(`e2e: ${passed} passed, ${failed} failed, ${skipped} skipped`);
  process.exitCode = failed > 0 ? 1 : 0;
}

/** What was started, to be stopped in reverse order. */
const running = [];
function started(one) {
  running.push(one);
  return one;
}
async function stopAll() {
  for (const one of running.splice(0).reverse()) await (one.close ?? one.stop).call(one);
}

/** A server and a browser, and the environment for more servers of the same kind. */
async function lane(name, env) {
  const server = started(await Server.start(await env()));
  const browser = started(await Browser.launch());
  return { store: { name, env }, fixtures: { browser, server, session: await server.login() } };
}

async function main() {
  if (!existsSync(BINARY)) throw new Error(`no server at ${BINARY}; run: cargo build -p perfwatch`);
  const missing = missingBrowser();
  if (missing !== null) {
    console.log(`SKIPPED: the page in Chromium: ${missing}`);
    report({ passed: 0, failed: 0, skipped: 1 });
    return;
  }
  const folder = path.join(import.meta.dirname, 'tests');
  for (const file of (await readdir(folder)).filter((name) => name.endsWith('.mjs')).sort()) {
    await import(path.join(folder, file));
  }
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.once(signal, () => void stopAll().finally(() => process.exit(130)));
  }
  try {
    const lanes = [await lane('SQLite', async () => ({}))];
    const postgres = await Postgres.start();
    if (postgres === null) {
      console.log('SKIPPED: the page on PostgreSQL: no PostgreSQL of version 15 or newer on this machine');
    } else {
      started(postgres);
      lanes.push(await lane('PostgreSQL', async () => ({ DATABASE_URL: await postgres.database() })));
    }
    const count = await runAll(lanes, process.argv[2]);
    report({ ...count, skipped: count.skipped + (postgres === null ? 1 : 0) });
  } finally {
    await stopAll();
  }
}

await main().catch((error) => {
  console.error(error);
  report({ passed: 0, failed: 1, skipped: 0 });
});
