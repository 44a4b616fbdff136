/**
 * A small test runner: files register tests, the runner gives each a browser, a running server and a session,
 * and counts. A test that cannot run on this machine calls `skip` with the reason.
 */
import { setTimeout as sleep } from 'node:timers/promises';

const tests = [];

export function test(name, run) {
  tests.push({ name, run });
}

class Skipped extends Error {}

export function skip(reason) {
  throw new Skipped(reason);
}

/** Waits until `check` gives something true; its last answer is in the failure. */
export async function eventually(what, check, { within = 15_000, every = 100 } = {}) {
  const deadline = Date.now() + within;
  let last;
  for (;;) {
    last = await check();
    if (last) return last;
    if (Date.now() > deadline) throw new Error(`never came: ${what} (last answer: ${JSON.stringify(last)})`);
    await sleep(every);
  }
}

const ONE_TEST_MS = 120_000;

export async function runAll(fixtures, only) {
  const count = { passed: 0, failed: 0, skipped: 0 };
  for (const { name, run } of tests.filter((one) => only === undefined || one.name.includes(only))) {
    const started = Date.now();
    const cleanups = [];
    const context = { ...fixtures, cleanup: (undo) => cleanups.push(undo) };
    let timer;
    try {
      const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`not done after ${ONE_TEST_MS / 1000} s`)), ONE_TEST_MS);
      });
      await Promise.race([run(context), late]);
      count.passed += 1;
      console.log(`ok   ${name} (${Date.now() - started} ms)`);
    } catch (error) {
      if (error instanceof Skipped) {
        count.skipped += 1;
        console.log(`SKIPPED: ${name}: ${error.message}`);
      } else {
        count.failed += 1;
        console.log(`FAIL ${name} (${Date.now() - started} ms)\n${error.stack ?? error}`);
      }
    } finally {
      clearTimeout(timer);
      for (const undo of cleanups.reverse()) await undo();
      await fixtures.browser?.closePages();
    }
  }
  return count;
}
