/** A mail server on this machine (aiosmtpd), which keeps what it is sent. */
import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';

/** The system's, which has the system's packages; another may come first on the path. */
const PYTHON = '/usr/bin/python3';

/** Takes a free port, says which, and prints each message as a line of JSON. */
const SCRIPT = `
import email, email.policy, json, sys
from aiosmtpd.controller import Controller
class Handler:
    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        print(json.dumps({"to": envelope.rcpt_tos, "subject": message["subject"], "text": message.get_content()}), flush=True)
        return "250 taken"
class Free(Controller):
    def _trigger_server(self):
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()
controller = Free(Handler(), hostname="127.0.0.1", port=0)
controller.start()
print(json.dumps({"port": controller.port}), flush=True)
sys.stdin.read()
controller.stop()
`;

export class MailServer {
  mails = [];
  #child;

  /** Null if there is no aiosmtpd. */
  static async start() {
    if (spawnSync(PYTHON, ['-c', 'import aiosmtpd'], { stdio: 'ignore' }).status !== 0) return null;
    const mail = new MailServer();
    mail.#child = spawn(PYTHON, ['-W', 'ignore', '-c', SCRIPT], { stdio: ['pipe', 'pipe', 'inherit'] });
    await new Promise((resolve, reject) => {
      mail.#child.once('exit', (code) => reject(new Error(`the mail server ended: ${code}`)));
      createInterface({ input: mail.#child.stdout }).on('line', (line) => {
        const said = JSON.parse(line);
        if (said.port === undefined) mail.mails.push(said);
        else resolve((mail.port = said.port));
      });
    });
    return mail;
  }

  async stop() {
    if (this.#child.exitCode !== null) return;
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.stdin.end();
    await gone;
  }
}
