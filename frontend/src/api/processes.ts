import { http } from './http';
import type { ProcessList } from './types';

/** A slower response would be out of date. */
const TIMEOUT_MS = 10_000;

/** All processes of the newest tick, including idle ones. */
export async function allProcesses(signal: AbortSignal): Promise<ProcessList> {
  return (await http.get<ProcessList>('/api/processes', { signal, timeout: TIMEOUT_MS })).data;
}
