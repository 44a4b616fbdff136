/** A slow link to a server: a proxy that passes on so many bits a second, over all connections together. */
import { connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** What is passed on at a time. */
const PACKET = 1460;

export class SlowLink {
  /** Bytes that have reached the client. */
  received = 0;
  #free = 0;
  #sockets = new Set();

  /** `latency`: milliseconds from one end to the other. */
  static async start(server, { bitsPerSecond, latency = 20 }) {
    const link = new SlowLink();
    link.bitsPerSecond = bitsPerSecond;
    link.latency = latency;
    link.listener = createServer((client) => link.#pass(client, server.port));
    await new Promise((resolve) => link.listener.listen(0, '127.0.0.1', resolve));
    link.url = `http://127.0.0.1:${link.listener.address().port}`;
    return link;
  }

  #pass(client, port) {
    const server = connect(port, '127.0.0.1');
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('error', () => undefined);
    }
    client.on('close', () => server.destroy());
    void this.#pump(client, server, () => undefined);
    void this.#pump(server, client, (bytes) => (this.received += bytes)).then(() => client.destroy());
  }

  async #pump(from, to, count) {
    try {
      for await (const chunk of from) {
        for (let at = 0; at < chunk.length; at += PACKET) {
          const packet = chunk.subarray(at, at + PACKET);
          this.#free = Math.max(performance.now(), this.#free) + (packet.length * 8000) / this.bitsPerSecond;
          await sleep(this.#free - performance.now() + (at === 0 ? this.latency : 0));
          count(packet.length);
          if (!to.write(packet))
            await new Promise((resolve) => to.once('drain', resolve).once('close', resolve));
        }
      }
    } catch {
      // Reset by the other side.
    }
  }

  async stop() {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.listener.close(resolve));
  }
}
