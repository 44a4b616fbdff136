/**
 * A small test runner: files register tests; the runner gives each a browser, a running server and a session, and
 * counts the results. A test that cannot run on this machine calls `skip` with the reason.
 *
 * Two lanes run in parallel, one per store. Tests of stored data run in both.
 */
import { setTimeout as sleep } from 'node:timers/promises';

const tests = [];

/** `alone`: nothing else runs meanwhile, because the test needs the whole machine. */
export function test(name, run, { alone = false } = {}) {
  tests.push({ name, run, alone, onEachStore: false });
}

/** Runs on SQLite and on PostgreSQL. `store.env()` is the environment for another server with a new database. */
export function testOnEachStore(name, run) {
  tests.push({ name, run, alone: false, onEachStore: true });
}

class Skipped extends Error {}

export function skip(reason) {
  throw new Skipped(reason);
}

/** Waits until `check` returns something truthy; the error contains its last result. */
export async function eventually(what, check, { within = 30_000, every = 100 } = {}) {
  const deadline = Date.now() + within;
  let last;
  for (;;) {
    last = await check();
    if (last) return last;
    if (Date.now() > deadline)
      throw new Error(`timed out waiting for ${what} (last result: ${JSON.stringify(last)})`);
    await sleep(every);
  }
}

const TEST_TIMEOUT_MS = 180_000;

/** The errors of a first try are told at the second; those of the second count. */
async function runOne(one, lane, count, failed) {
  const { name, run } = one;
  const { store, fixtures } = lane;
  const started = Date.now();
  const cleanups = [];
  const context = { ...fixtures, store, cleanup: (undo) => cleanups.push(undo) };
  const title = `${name} [${store.name}]`;
  let timer;
  try {
    const late = new Promise((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`timed out after ${TEST_TIMEOUT_MS / 1000} s`)),
        TEST_TIMEOUT_MS,
      );
    });
    await Promise.race([run(context), late]);
    count.passed += 1;
    console.log(`ok   ${title} (${Date.now() - started} ms)`);
  } catch (error) {
    if (error instanceof Skipped) {
      count.skipped += 1;
      console.log(`SKIPPED: ${name}: ${error.message}`);
    } else if (failed !== undefined) {
      failed.push([one, lane]);
      console.log(`FLAKY: ${title} (${Date.now() - started} ms): ${error.stack ?? error}`);
    } else {
      count.failed += 1;
      console.log(`FAIL ${title} (${Date.now() - started} ms)\n${error.stack ?? error}`);
    }
  } finally {
    clearTimeout(timer);
    for (const undo of cleanups.reverse()) await undo();
    await fixtures.browser.closePages();
  }
}

/**
 * Every lane runs the tests of stored data; the others go to whichever lane is free. What failed beside others is
 * tried once more with the machine to itself.
 */
export async function runAll(lanes, only) {
  const count = { passed: 0, failed: 0, skipped: 0 };
  const failed = [];
  const wanted = tests.filter((one) => only === undefined || one.name.includes(only));
  for (const one of wanted.filter(({ alone }) => alone)) await runOne(one, lanes[0], count, failed);
  const rest = wanted.filter(({ alone, onEachStore }) => !alone && !onEachStore);
  await Promise.all(
    lanes.map(async (lane) => {
      for (const one of wanted.filter(({ onEachStore }) => onEachStore))
        await runOne(one, lane, count, failed);
      for (let one = rest.shift(); one !== undefined; one = rest.shift())
        await runOne(one, lane, count, failed);
    }),
  );
  for (const [one, lane] of failed) await runOne(one, lane, count);
  return count;
}
