/** Documents of a larger machine than a test may use, made of the real ones as they come in. Each runs in the page. */

/** The CPU has `count` cores, in the order of their number from idle to busy. */
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
 * Each tick lists `count` processes, made of those that the server lists. So many are not on any
 * machine a test may use, and the server sends only the busiest; the table must bear them all the same.
 */
export function manyProcesses(count) {
  const Native = window.WebSocket;
  const multiply = (text) => {
    const message = JSON.parse(text);
    const listed = message.data?.processes?.top ?? [];
    if (listed.length === 0) return text;
    message.data.processes.top = Array.from({ length: count }, (_, i) => {
      const row = listed[i % listed.length];
      const share = (count - i) / count;
      return {
        ...row,
        pid: 100_000 + i,
        comm: `many-${i}`,
        cpu_percent: (row.cpu_percent ?? 0) * share,
        cgroup: `/many/${i % 100}`,
      };
    });
    return JSON.stringify(message);
  };
  window.WebSocket = class extends Native {
    set onmessage(handler) {
      super.onmessage = handler && ((event) => handler({ data: multiply(event.data) }));
    }
  };
}
