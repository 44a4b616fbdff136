/** A program of known shape that burns CPU, for profiles. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { NamedProgram } from './load.mjs';
import { eventually } from './suite.mjs';

export class Burner extends NamedProgram {
  /** Null if there is no C compiler. */
  static async start(name, args = []) {
    const source = path.join(import.meta.dirname, 'burner.c');
    const compile = (file) => promisify(execFile)('cc', ['-O1', '-o', file, source]);
    try {
      return await this.launch(name, compile, args);
    } catch (error) {
      if (error.code === 'ENOENT') return null;
      throw error;
    }
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
