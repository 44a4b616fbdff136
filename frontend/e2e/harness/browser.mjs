/** Chromium, with pages that record every error they report. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';

const SESSION_KEY = 'perfwatch.session';

const executablePath = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome-stable',
].find((candidate) => existsSync(process.env.CHROMIUM ?? candidate));

export function missingBrowser() {
  return executablePath === undefined ? 'no Chromium on this machine' : null;
}

export const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
];

export class Browser {
  #browser;
  #contexts = [];

  static async launch(args = []) {
    const browser = new Browser();
    // Playwright's temporary files are removed with it.
    browser.home = await mkdtemp(path.join(tmpdir(), 'perfwatch-chromium-'));
    browser.#browser = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? executablePath,
      args: [...flags, ...args],
      env: { ...process.env, HOME: browser.home },
    });
    return browser;
  }

  /**
   * A page in a fresh profile. `session` signs it in before the first request. Console and script errors are
   * collected in `page.problems`.
   */
  async page({ server, session, width = 1440, height = 900, ...context } = {}) {
    const opened = await this.#browser.newContext({
      baseURL: server?.url,
      viewport: { width, height },
      locale: 'en-GB',
      timezoneId: 'UTC',
      colorScheme: 'dark',
      ...context,
    });
    this.#contexts.push(opened);
    // On a busy disk the server waits for its store.
    opened.setDefaultTimeout(60_000);
    const page = await opened.newPage();
    page.problems = [];
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') page.problems.push(message.text());
    });
    page.on('pageerror', (error) => page.problems.push(error.stack ?? error.message));
    if (session !== undefined) {
      await page.addInitScript(
        ([key, value]) => {
          // Only once: a test may sign out, and a reload must not sign in again.
          if (sessionStorage.getItem('e2e') !== null) return;
          sessionStorage.setItem('e2e', '1');
          sessionStorage.setItem(key, value);
        },
        [SESSION_KEY, JSON.stringify(session)],
      );
    }
    return page;
  }

  /** Closes the pages of one test. */
  async closePages() {
    await Promise.all(this.#contexts.splice(0).map((context) => context.close()));
  }

  async close() {
    await this.#browser.close();
    await rm(this.home, { recursive: true, force: true });
  }
}
