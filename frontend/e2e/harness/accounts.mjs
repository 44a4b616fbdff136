/** Waiting for what the server knows of processes. */
import { settledState } from './server.mjs';
import { eventually } from './suite.mjs';

/** Whether processes can be measured on this machine. */
export async function measured(server, session) {
  return (await settledState(server, session, 'processes')) === 'active';
}

/**
 * The server's ranking of the last minutes has this name, up to so many milliseconds ago; `behind`: how many milliseconds
 * the server's clock is.
 */
export async function accounted(server, session, name, { cpuSeconds = 0.5, ago = 0, behind = 0 } = {}) {
  return await eventually(
    `${name} in the accounts`,
    async () => {
      const query = new URLSearchParams({
        name,
        by: 'process',
        start_time: new Date(Date.now() - behind - 600_000).toISOString(),
        end_time: new Date(Date.now() - behind - ago).toISOString(),
      });
      const { rows } = await server.call(session, 'GET', `/api/history/processes?${query}`);
      return rows.find(({ pid, cpu_seconds }) => pid !== null && cpu_seconds > cpuSeconds);
    },
    { within: 90_000, every: 500 },
  );
}
