/** The real server, on its own port and with a fresh data directory. */
import { spawn } from 'node:child_process';
import { chown, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export const BINARY =
  process.env.PERFWATCH_BINARY ?? path.resolve(import.meta.dirname, '../../../target/debug/perfwatch');

const USERNAME = 'admin';
const PASSWORD = 'correct horse battery staple';
const START_TIMEOUT_MS = 30_000;

/** A free port; we accept the short race until the server binds it. */
export async function freePort() {
  const probe = createServer();
  await new Promise((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

export class Server {
  username = USERNAME;
  password = PASSWORD;
  #env;
  #wrapper;
  #command;
  #child = null;
  #output = '';

  /**
   * `wrapper`: a command that runs the server, for example with fewer rights; `owner`: as which user it does so; `command`:
   * `serve` or `hub`.
   */
  static async start(env = {}, wrapper = [], owner = null, command = 'serve') {
    const server = new Server();
    server.port = await freePort();
    server.url = `http://127.0.0.1:${server.port}`;
    server.dataDir = await mkdtemp(path.join(tmpdir(), 'perfwatch-e2e-'));
    if (owner !== null) await chown(server.dataDir, owner, owner);
    server.#env = env;
    server.#wrapper = wrapper;
    server.#command = command;
    await server.launch();
    return server;
  }

  /** Starts it, or restarts it on the same port and data. */
  async launch() {
    const [program, ...args] = [...this.#wrapper, BINARY, this.#command];
    const child = spawn(program, args, {
      env: {
        ...process.env,
        PERFWATCH_LISTEN: `127.0.0.1:${this.port}`,
        PERFWATCH_DATA_DIR: this.dataDir,
        ADMIN_USERNAME: USERNAME,
        ADMIN_PASSWORD: PASSWORD,
        SAMPLING_INTERVAL_SECONDS: '1',
        PERFWATCH_LOG: 'warn',
        ...this.#env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    const keep = (chunk) => {
      this.#output = (this.#output + chunk).slice(-20_000);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', keep);
    const deadline = Date.now() + START_TIMEOUT_MS;
    for (;;) {
      const healthy = await fetch(`${this.url}/health`).catch(() => null);
      if (healthy?.ok) return;
      if (child.exitCode !== null || Date.now() > deadline) {
        throw new Error(`the server did not start:\n${this.#output}`);
      }
      await sleep(50);
    }
  }

  /** Name and password that it made for the first sign-in, where none are configured. */
  async firstAccount() {
    const text = await readFile(path.join(this.dataDir, 'first-password'), 'utf8');
    const [username, password] = text.trim().split(' ');
    return { username, password };
  }

  /** Its last output. */
  get output() {
    return this.#output;
  }

  /** Sends `signal` and waits for the process to exit. */
  async halt(signal = 'SIGTERM') {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await gone;
  }

  /** Stops it with all connections open, as on a thrashing machine. */
  freeze() {
    this.#child.kill('SIGSTOP');
  }

  thaw() {
    this.#child?.kill('SIGCONT');
  }

  async stop() {
    await this.halt();
    await rm(this.dataDir, { recursive: true, force: true });
  }

  async login(username = USERNAME, password = PASSWORD) {
    // A server that has just started may still be connecting to its database.
    const deadline = Date.now() + START_TIMEOUT_MS;
    for (;;) {
      try {
        return await this.#login(username, password);
      } catch (error) {
        if (error.status !== 503 || Date.now() > deadline) throw error;
        await sleep(200);
      }
    }
  }

  async #login(username, password) {
    const answer = await fetch(`${this.url}/api/auth/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ username, password }),
    });
    if (!answer.ok) {
      const error = new Error(`login: ${answer.status} ${await answer.text()}`);
      error.status = answer.status;
      throw error;
    }
    const { access_token, expires_in } = await answer.json();
    return { token: access_token, expiresAt: Date.now() + expires_in * 1000 };
  }

  /** Calls the API with a session; returns the parsed body. */
  async call(session, method, url, body) {
    const answer = await fetch(this.url + url, {
      method,
      headers: { authorization: `Bearer ${session.token}`, 'content-type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${url}: ${answer.status} ${text}`);
    return text === '' ? null : JSON.parse(text);
  }
}

/**
 * The state of a metric type's source. On a busy machine probes may miss the deadline of the first ticks and count
 * as failed until they respond.
 */
export async function settledState(server, session, metricType) {
  const deadline = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    const { sources } = await server.call(session, 'GET', '/api/sources');
    const state = sources.find(({ metric_type }) => metric_type === metricType)?.state;
    if (state !== 'failed' || Date.now() > deadline) return state;
    await sleep(200);
  }
}
