/** An HTTP receiver of alerts on this machine, which keeps what it is sent. */
import { createServer } from 'node:http';

export class Receiver {
  requests = [];
  /** What it answers from now on. */
  status = 200;
  #server;

  static async start() {
    const receiver = new Receiver();
    receiver.#server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => {
        body += chunk;
      });
      request.on('end', () => {
        receiver.requests.push({ path: request.url, headers: request.headers, body });
        response.writeHead(receiver.status, { 'content-type': 'text/plain' }).end('so it says');
      });
    });
    await new Promise((resolve) => receiver.#server.listen(0, '127.0.0.1', resolve));
    receiver.url = `http://127.0.0.1:${receiver.#server.address().port}`;
    return receiver;
  }

  async stop() {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
