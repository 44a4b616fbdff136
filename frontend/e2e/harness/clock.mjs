/** The wall clock of one server, which a test sets. Its monotonic clock goes on, as that of a machine does. */
import { execFile } from 'node:child_process';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

export class ServerClock {
  #folder;
  #file;

  /** Null if there is no C compiler. */
  static async make() {
    const clock = new ServerClock();
    clock.#folder = await mkdtemp(path.join(tmpdir(), 'perfwatch-clock-'));
    const library = path.join(clock.#folder, 'clock.so');
    const source = path.join(import.meta.dirname, 'clock.c');
    try {
      await promisify(execFile)('cc', ['-shared', '-fPIC', '-o', library, source, '-ldl']);
    } catch (error) {
      await clock.remove();
      if (error.code === 'ENOENT') return null;
      throw error;
    }
    const offset = path.join(clock.#folder, 'offset');
    await writeFile(offset, Buffer.alloc(8));
    clock.#file = await open(offset, 'r+');
    clock.env = { LD_PRELOAD: library, CLOCK_OFFSET: offset };
    return clock;
  }

  /** Sets it to so many seconds after the machine's. */
  async setAhead(seconds) {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(seconds));
    await this.#file.write(bytes, 0, 8, 0);
  }

  async remove() {
    await this.#file?.close();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
