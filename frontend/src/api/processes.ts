import { http } from './http';
import type { ProcessList } from './types';

/** An answer that takes longer would be of a tick long gone. */
const TIMEOUT_MS = 10_000;

/** Every process of the newest tick, those included that did nothing. */
export async function allProcesses(signal: AbortSignal): Promise<ProcessList> {
  return (await http.get<ProcessList>('/api/processes', { signal, timeout: TIMEOUT_MS })).data;
}
