/**
 * Runs in the page: each tick lists `count` processes, made of those that the server lists. So many are not on any
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
