/** Real load: processes that burn a core each, ended by their own id. */
import { spawn } from 'node:child_process';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
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

/** A hog whose process has a name of its own: the kernel names a process after its program's file. */
export class NamedHog {
  #child;
  #folder;

  static async start(name) {
    const hog = new NamedHog();
    hog.#folder = await mkdtemp(path.join(tmpdir(), 'perfwatch-hog-'));
    const program = path.join(hog.#folder, name);
    await copyFile('/bin/sh', program);
    hog.#child = spawn(program, ['-c', 'while :; do :; done'], { stdio: 'ignore' });
    return hog;
  }

  get pid() {
    return this.#child.pid;
  }

  async stop() {
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await gone;
    await rm(this.#folder, { recursive: true, force: true });
  }
}
