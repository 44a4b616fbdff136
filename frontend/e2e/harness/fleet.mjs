/** A fleet: a NATS server, a hub with a database of its own, and agents that measure this machine under several IDs. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { BINARY, freePort, Server } from './server.mjs';

const NATS = ['/usr/sbin/nats-server', '/usr/local/bin/nats-server', '/usr/bin/nats-server'].find((program) =>
  existsSync(program),
);

/** Why there can be no fleet on this machine, or null. */
export const missingNats = () => (NATS === undefined ? 'nats-server is not installed' : null);

async function stopped(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await gone;
}

export class Fleet {
  #children = [];
  #dirs = [];

  /** `hosts`: their IDs. */
  static async start(hosts) {
    const fleet = new Fleet();
    const port = await freePort();
    fleet.#spawn(NATS, ['-js', '-a', '127.0.0.1', '-p', String(port), '-sd', await fleet.#dir()]);
    fleet.env = { PERFWATCH_FLEET_URL: `nats://127.0.0.1:${port}` };
    fleet.hub = await Server.start(fleet.env, [], null, 'hub');
    for (const host of hosts) await fleet.join(host);
    return fleet;
  }

  /** Another machine. */
  async join(host) {
    const env = {
      ...process.env,
      ...this.env,
      PERFWATCH_HOST_ID: host,
      PERFWATCH_DATA_DIR: await this.#dir(),
      PERFWATCH_LOG: 'warn',
      PERFWATCH_PROFILE_HZ: '0',
      SAMPLING_INTERVAL_SECONDS: '1',
    };
    this.#spawn(BINARY, ['agent'], env);
  }

  async stop() {
    await this.hub?.stop();
    // Agents before NATS, so that they do not wait for it.
    for (const child of this.#children.toReversed()) await stopped(child);
    for (const dir of this.#dirs) await rm(dir, { recursive: true, force: true });
  }

  async #dir() {
    const dir = await mkdtemp(path.join(tmpdir(), 'perfwatch-fleet-'));
    this.#dirs.push(dir);
    return dir;
  }

  #spawn(program, args, env = process.env) {
    this.#children.push(spawn(program, args, { env, stdio: 'ignore' }));
  }
}
