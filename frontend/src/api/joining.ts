import { http } from './http';
import type { CreatedJoinToken, KnownHost, Machines } from './types';

/** The machines that have joined, and whether others can. */
export async function machines(): Promise<Machines> {
  return (await http.get<Machines>('/api/fleet/machines')).data;
}

export async function fleetHosts(): Promise<KnownHost[]> {
  return (await http.get<{ hosts: KnownHost[] }>('/api/hosts')).data.hosts;
}

/** The only response that contains the token itself. */
export async function createJoinToken(): Promise<CreatedJoinToken> {
  return (await http.post<CreatedJoinToken>('/api/fleet/tokens', {})).data;
}

export async function revokeMachine(host: string): Promise<string> {
  return (await http.delete<{ message: string }>(`/api/fleet/machines/${encodeURIComponent(host)}`)).data
    .message;
}

export async function setLabels(host: string, labels: Record<string, string>): Promise<void> {
  await http.put(`/api/hosts/${encodeURIComponent(host)}/labels`, { labels });
}
