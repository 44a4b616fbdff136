/** Real load: processes that burn a core each, ended by their own id. */
import { spawn } from 'node:child_process';

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
