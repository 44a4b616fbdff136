/** Real load: processes that use a core each, stopped by PID. */
import { spawn } from 'node:child_process';
import { access, copyFile, mkdir, mkdtemp, rm, rmdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

export class CpuHogs {
  #children;

  constructor(count) {
    this.#children = Array.from({ length: count }, () =>
      spawn('/bin/sh', ['-c', 'while :; do :; done'], { stdio: 'ignore' }),
    );
  }

  get pids() {
    return this.#children.map((child) => child.pid);
  }

  async stop() {
    const running = this.#children.splice(0).filter((child) => child.exitCode === null);
    await Promise.all(
      running.map((child) => {
        const gone = new Promise((resolve) => child.once('exit', resolve));
        child.kill('SIGKILL');
        return gone;
      }),
    );
  }
}

/** A program in a folder of its own, under a given name: the kernel names a process after its executable. */
export class NamedProgram {
  #child;
  #folder;

  /** `make` puts it where it is told. */
  static async launch(name, make, args) {
    const program = new this();
    program.#folder = await mkdtemp(path.join(tmpdir(), 'perfwatch-program-'));
    const file = path.join(program.#folder, name);
    try {
      await make(file);
    } catch (error) {
      await rm(program.#folder, { recursive: true, force: true });
      throw error;
    }
    program.#child = spawn(file, args, { stdio: 'ignore' });
    return program;
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

export class NamedHog extends NamedProgram {
  /** `more`: arguments that only its command line shows, except of another `script`. */
  static async start(name, more = [], script = 'while :; do :; done') {
    return await this.launch(name, (file) => copyFile('/bin/sh', file), ['-c', script, ...more]);
  }
}

export class NamedSleeper extends NamedProgram {
  static async start(name) {
    return await this.launch(name, (file) => copyFile('/bin/sleep', file), ['1d']);
  }
}

/** A cgroup with a small memory limit, in which the OOM killer kills a process. */
export class MemoryCgroup {
  #folder;

  /** Null if none can be created. */
  static async make() {
    const name = `perfwatch-e2e-${process.pid}`;
    const versions = [
      {
        root: '/sys/fs/cgroup',
        limits: { 'memory.max': '32M', 'memory.swap.max': '0' },
        needs: 'memory.max',
      },
      {
        root: '/sys/fs/cgroup/memory',
        limits: { 'memory.limit_in_bytes': '32M' },
        needs: 'memory.limit_in_bytes',
      },
    ];
    for (const { root, limits, needs } of versions) {
      const group = new MemoryCgroup();
      group.#folder = path.join(root, name);
      try {
        await mkdir(group.#folder);
      } catch {
        continue;
      }
      try {
        await access(path.join(group.#folder, needs));
        for (const [file, limit] of Object.entries(limits)) {
          // Without swap this limit does not exist.
          await writeFile(path.join(group.#folder, file), limit).catch((error) => {
            if (file === needs) throw error;
          });
        }
        return group;
      } catch {
        await group.remove();
      }
    }
    return null;
  }

  /** Allocates memory until the kernel kills it. */
  async overflow() {
    const script = `echo $$ > ${this.#folder}/cgroup.procs && exec ${process.execPath} -e 'const kept = []; for (;;) kept.push(Buffer.alloc(1 << 20, 1))'`;
    const child = spawn('/bin/sh', ['-c', script], { stdio: 'ignore' });
    const signal = await new Promise((resolve) => child.once('exit', (_, name) => resolve(name)));
    return { pid: child.pid, signal };
  }

  async remove() {
    await rmdir(this.#folder);
  }
}
