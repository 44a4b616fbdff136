/** What every page of a hub knows of its hosts. Apart from the view of all of them, so that a first load does not carry that. */
import type { FleetHost } from '@/api/types';

/** Hosts of the same name are told apart by their IDs. */
export function distinct(hosts: readonly FleetHost[]): FleetHost[] {
  const times = new Map<string, number>();
  for (const { name } of hosts) times.set(name, (times.get(name) ?? 0) + 1);
  return hosts.map((host) =>
    (times.get(host.name) ?? 0) > 1 ? { ...host, name: `${host.name} (${host.id})` } : host,
  );
}

/** A group, as addresses name it: a label and its value; null for the name or ID of a host. */
export function groupIn(host: string): { label: string; value: string } | null {
  const [, label, value] = /^([^=]+)=(.*)$/.exec(host) ?? [];
  return label === undefined || value === undefined ? null : { label, value };
}
