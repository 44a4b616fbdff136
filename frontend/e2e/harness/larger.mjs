/** A larger machine than a test may use, made of what the real one says. */

/** Runs in the page: the CPU has `count` cores, in the order of their number from idle to busy. */
export function manyCores(count) {
  const Native = window.WebSocket;
  const spread = ({ data }) => {
    if (data?.cpu?.per_core)
      data.cpu.per_core = Array.from({ length: count }, (_, core) => (100 * core) / (count - 1));
  };
  const multiply = (text) => {
    const message = JSON.parse(text);
    for (const snapshot of message.snapshots ?? [message]) spread(snapshot);
    return JSON.stringify(message);
  };
  window.WebSocket = class extends Native {
    set onmessage(handler) {
      super.onmessage = handler && ((event) => handler({ data: multiply(event.data) }));
    }
  };
}

/**
 * The list of all processes has `count`, made of those that the server lists: so many are not on any machine that a
 * test may use. For a page that is not open yet.
 */
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
  // One under way when its page is left cannot be answered.
  await page.route('**/api/processes', (route) => multiply(route).catch(() => undefined));
}
