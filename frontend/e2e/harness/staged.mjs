/** A small shop on this machine, for pictures: services and a container with some work, and what goes wrong one day. */
import { execFile, spawn } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { Cgroup } from './cgroup.mjs';

const run = promisify(execFile);

/** A little work, a pause, and so on; memory is held in a variable. */
const worker = (loops, pause, megabytes) =>
  `kept=$(head -c ${megabytes}000000 /dev/zero | tr '\\0' x); ` +
  `while :; do i=0; while [ $i -lt ${loops} ]; do i=$((i+1)); done; sleep ${pause}; done`;
/** Reads an image, once it is in its service, and then works without end. */
const BUSY = "sleep 0.5; kept=$(head -c 150000000 /dev/zero | tr '\\0' x); while :; do :; done";
const SHELL = '/bin/sh';

/** Programs under names of their own, in services of their own. */
export class Services {
  #children = [];
  #groups = new Map();

  static async make() {
    const services = new Services();
    // Not in /tmp, which may be memory.
    services.folder = await mkdtemp(path.resolve(import.meta.dirname, '../../../target/staged-'));
    return services;
  }

  /** A program with a name, in a service of that name. */
  async #start(service, name, program, args) {
    const file = path.join(this.folder, name);
    await copyFile(program, file);
    // Command lines are in the pictures, without the folder.
    const child = spawn(file, args, { stdio: 'ignore', detached: true, argv0: name, cwd: this.folder });
    this.#children.push(child);
    if (!this.#groups.has(service)) this.#groups.set(service, await Cgroup.make(service));
    await this.#groups.get(service)?.add(child);
    return child;
  }

  async everyday() {
    await this.#start('shop.service', 'shop-api', SHELL, ['-c', worker(25_000, 0.2, 220), '--workers', '4']);
    await this.#start('shop.service', 'shop-mail', SHELL, ['-c', worker(6000, 0.5, 60)]);
    const source = path.join(import.meta.dirname, 'search.c');
    const program = path.join(this.folder, 'search.out');
    await run('cc', ['-O1', '-fomit-frame-pointer', '-o', program, source]);
    this.search = await this.#start('search.service', 'search', program, ['--index', 'goods']);
  }

  /** The search is updated, and one of its functions is slow. */
  update() {
    this.search.kill('SIGUSR1');
  }

  /** Thumbnails take the CPU, and a backup the disk; ends them when called. */
  async incident() {
    const before = this.#children.length;
    const thumbnails = ['-c', BUSY, '--size', '2048'];
    for (const number of [1, 2])
      await this.#start('thumbnails.service', `thumbnail-${number}`, SHELL, thumbnails);
    await copyFile('/bin/dd', path.join(this.folder, 'backup-db'));
    const copy = `while :; do "$0" if=/dev/zero of="$1" bs=256k count=400 oflag=dsync status=none; done`;
    await this.#start('backup.service', 'backup', SHELL, ['-c', copy, './backup-db', 'shop.dump']);
    return () => this.#end(this.#children.splice(before));
  }

  async #end(children) {
    await Promise.all(
      children.map((child) => {
        const gone = new Promise((resolve) => child.once('exit', resolve));
        if (child.exitCode !== null || child.signalCode !== null) return undefined;
        // With what it has started.
        process.kill(-child.pid, 'SIGKILL');
        return gone;
      }),
    );
  }

  async stop() {
    await this.#end(this.#children.splice(0));
    for (const group of this.#groups.values()) await group?.remove();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** A container of Podman, made of this machine's shell; null if there is none. */
export class Container {
  static async start(name) {
    const container = new Container();
    container.name = name;
    container.image = `localhost/${name}:2.4`;
    const folder = await mkdtemp(path.join(tmpdir(), 'perfwatch-container-'));
    try {
      const libraries = (await run('ldd', [SHELL])).stdout;
      const files = [SHELL, '/bin/sleep', '/usr/bin/head', '/usr/bin/tr', ...libraries.match(/\/\S+/g)];
      for (const file of files) {
        await mkdir(path.join(folder, path.dirname(file)), { recursive: true });
        await copyFile(file, path.join(folder, file));
      }
      await copyFile(SHELL, path.join(folder, 'bin', name));
      await run('tar', ['-cf', `${folder}.tar`, '-C', folder, '.']);
      await run('podman', ['import', `${folder}.tar`, container.image]);
      const begin = ['--runtime', 'runc', '--cgroup-manager', 'cgroupfs', 'run', '-d', '--name', name];
      const limits = ['--network', 'none', '--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=4096:4096'];
      const program = [container.image, `/bin/${name}`, '-c', worker(60_000, 0.3, 300)];
      await run('podman', [...begin, ...limits, '--memory', '1g', ...program]);
      const { stdout } = await run('podman', ['inspect', '-f', '{{.Id}}', name]);
      container.id = stdout.trim();
      return container;
    } catch (error) {
      console.log(`no container: ${error.message.split('\n')[0]}`);
      await container.stop();
      return null;
    } finally {
      await rm(folder, { recursive: true, force: true });
      await rm(`${folder}.tar`, { force: true });
    }
  }

  async stop() {
    await run('podman', ['rm', '-f', '-t', '0', this.name]).catch(() => undefined);
    await run('podman', ['rmi', '-f', this.image]).catch(() => undefined);
  }
}
