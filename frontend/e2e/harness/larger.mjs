/** Simulates a larger machine from the real one's data. */

/** Runs in the page: makes the CPU have `count` cores, from idle to busy in order of their number. */
export function manyCores(count) {
  const Native = window.WebSocket;
  const spread = ({ data }) => {
    if (data?.cpu?.per_core)
      data.cpu.per_core = Array.from({ length: count }, (_, core) => (100 * core) / (count - 1));
  };
  const multiply = (text) => {
    const message = JSON.parse(text);
    spread(message);
    return JSON.stringify(message);
  };
  window.WebSocket = class extends Native {
    constructor(url, protocols) {
      // As text, which is what is changed here.
      const plain = new URL(url);
      plain.searchParams.delete('compression');
      super(plain, protocols);
    }
    set onmessage(handler) {
      super.onmessage = handler && ((event) => handler({ data: multiply(event.data) }));
    }
  };
}

/** Multiplies the list of all processes to `count`. Call it before the page is opened. */
export async function manyProcesses(page, count) {
  const multiply = async (route) => {
    const list = await (await route.fetch()).json();
    const processes = Array.from({ length: count }, (_, i) => {
      const row = list.processes[i % list.processes.length];
      return {
        ...row,
        pid: 100_000 + i,
        comm: `many-${i}`,
        cpu_percent: ((row.cpu_percent ?? 0) * (count - i)) / count,
        cgroup: `/many/${i % 100}`,
      };
    });
    await route.fulfill({ json: { ...list, count, processes } });
  };
  // A request pending when the page is left cannot be fulfilled.
  await page.route('**/api/processes', (route) => multiply(route).catch(() => undefined));
}
