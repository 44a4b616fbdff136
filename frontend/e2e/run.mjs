/**
 * The page in Chromium against the real server: `npm run test:e2e [-- part of a test's name]`.
 * The last line counts; `cargo xtask test` reads it.
 */
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { Browser, missingBrowser } from './harness/browser.mjs';
import { BINARY, Server } from './harness/server.mjs';
import { runAll } from './harness/suite.mjs';

function report({ passed, failed, skipped }) {
  console.log(`e2e: ${passed} passed, ${failed} failed, ${skipped} skipped`);
  process.exitCode = failed > 0 ? 1 : 0;
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
  const server = await Server.start();
  const browser = await Browser.launch();
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.once(
      signal,
      () => void Promise.allSettled([browser.close(), server.stop()]).then(() => process.exit(130)),
    );
  }
  try {
    report(await runAll({ browser, server, session: await server.login() }, process.argv[2]));
  } finally {
    await browser.close();
    await server.stop();
  }
}

await main().catch((error) => {
  console.error(error);
  report({ passed: 0, failed: 1, skipped: 0 });
});
