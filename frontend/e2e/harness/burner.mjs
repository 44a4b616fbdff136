/** A program of known shape that burns CPU, for profiles. */
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { eventually } from './suite.mjs';

export class Burner {
  #child;
  #folder;

  /** Null if there is no C compiler. */
  static async start(name, args = []) {
    const burner = new Burner();
    burner.#folder = await mkdtemp(path.join(tmpdir(), 'perfwatch-burner-'));
    const program = path.join(burner.#folder, name);
    const source = path.join(import.meta.dirname, 'burner.c');
    try {
      await promisify(execFile)('cc', ['-O1', '-o', program, source]);
    } catch (error) {
      await rm(burner.#folder, { recursive: true, force: true });
      if (error.code === 'ENOENT') return null;
      throw error;
    }
    burner.#child = spawn(program, args, { stdio: 'ignore' });
    return burner;
  }

  get pid() {
    return this.#child.pid;
  }

  async stop() {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const gone = new Promise((resolve) => this.#child.once('exit', resolve));
      this.#child.kill('SIGKILL');
      await gone;
    }
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** Once the server has so many seconds of CPU time of this process, with its functions. */
export async function profiled(server, session, name, { seconds = 3, from = Date.now() - 300_000 } = {}) {
  return await eventually(
    `stacks of ${name}`,
    async () => {
      const query = new URLSearchParams({
        process: name,
        start_time: new Date(from).toISOString(),
        end_time: new Date(Date.now() + 1000).toISOString(),
      });
      const profile = await server.call(session, 'GET', `/api/profiles?${query}`);
      return profile.total > seconds * 1e9 && profile.functions.some((one) => one.name === 'light_loop');
    },
    { within: 90_000, every: 500 },
  );
}
