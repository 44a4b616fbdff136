/** A private PostgreSQL cluster on a Unix socket, removed with its directory. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const DEBIAN = '/usr/lib/postgresql';
/** The oldest supported version. */
const OLDEST = 15;

async function programs() {
  if (!existsSync(DEBIAN)) return null;
  const versions = (await readdir(DEBIAN)).map(Number).filter((version) => version >= OLDEST);
  const newest = Math.max(...versions);
  const folder = path.join(DEBIAN, String(newest), 'bin');
  return existsSync(path.join(folder, 'initdb')) ? folder : null;
}

/** initdb refuses to run as root, so as root another user must own the cluster. */
async function owner() {
  if (process.getuid() !== 0) return null;
  for (const name of ['postgres', 'nobody']) {
    const found = await run('id', ['-u', name]).catch(() => null);
    const group = await run('id', ['-g', name]).catch(() => null);
    if (found !== null && group !== null) return { uid: Number(found.stdout), gid: Number(group.stdout) };
  }
  return null;
}

export class Postgres {
  #databases = 0;

  /** Null if PostgreSQL is not installed. */
  static async start() {
    const bin = await programs();
    if (bin === null) return null;
    const cluster = new Postgres();
    cluster.bin = bin;
    cluster.owner = await owner();
    cluster.folder = await mkdtemp(path.join(tmpdir(), 'pw-pg-'));
    if (cluster.owner !== null) await chown(cluster.folder, cluster.owner.uid, cluster.owner.gid);
    // The server has dropped root's right to enter any directory.
    await chmod(cluster.folder, 0o755);
    cluster.data = path.join(cluster.folder, 'data');
    await cluster.#call('initdb', ['-D', cluster.data, '-A', 'trust', '-U', 'perfwatch', '--no-sync']);
    await cluster.launch();
    await cluster.#call('createdb', ['-h', cluster.folder, '-U', 'perfwatch', 'perfwatch']);
    return cluster;
  }

  get url() {
    return this.#urlOf('perfwatch');
  }

  /** The URL of a new database, for one of several servers that share the cluster. */
  async database() {
    this.#databases += 1;
    const name = `perfwatch_${this.#databases}`;
    await this.#call('createdb', ['-h', this.folder, '-U', 'perfwatch', name]);
    return this.#urlOf(name);
  }

  #urlOf(name) {
    return `postgres://perfwatch@localhost/${name}?host=${encodeURIComponent(this.folder)}`;
  }

  async #call(program, args) {
    await run(path.join(this.bin, program), args, { ...this.owner, cwd: this.folder, maxBuffer: 1e7 });
  }

  async launch() {
    const options = `-c listen_addresses= -c unix_socket_directories=${this.folder} -c fsync=off`;
    const log = path.join(this.folder, 'log');
    await this.#call('pg_ctl', ['-D', this.data, '-w', '-l', log, '-o', options, 'start']);
  }

  async halt() {
    await this.#call('pg_ctl', ['-D', this.data, '-w', '-m', 'immediate', 'stop']);
  }

  async stop() {
    await this.halt().catch(() => undefined);
    await rm(this.folder, { recursive: true, force: true });
  }
}
