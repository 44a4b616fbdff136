/** A cgroup, which the page shows as a service would be. */
import { existsSync } from 'node:fs';
import { mkdir, rmdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { eventually } from './suite.mjs';

/** Where cgroups have their memory: all of version 2, a hierarchy of version 1. */
const ROOTS = ['/sys/fs/cgroup', '/sys/fs/cgroup/memory'];

export class Cgroup {
  /** Null if none can be made. */
  static async make(name) {
    const root = ROOTS.find((one) => existsSync(path.join(one, 'cgroup.procs')));
    if (root === undefined) return null;
    const group = new Cgroup();
    group.folder = path.join(root, name);
    return await mkdir(group.folder).then(
      () => group,
      () => null,
    );
  }

  async add({ pid }) {
    await writeFile(path.join(this.folder, 'cgroup.procs'), String(pid));
  }

  /** Puts a process into the root instead. */
  async leave({ pid }) {
    await writeFile(path.join(this.folder, '../cgroup.procs'), String(pid));
  }

  /** Once its processes are gone, of which the kernel may still be clearing up. */
  async remove() {
    const isGone = () =>
      rmdir(this.folder).then(
        () => true,
        (error) => {
          if (error.code !== 'EBUSY') throw error;
          return false;
        },
      );
    await eventually(`${this.folder} is empty`, isGone);
  }
}
