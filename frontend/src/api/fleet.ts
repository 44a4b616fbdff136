import { http } from './http';
import type { FleetOverview, Hosts } from './types';

/** The machines, what they are and, if they have any, their labels. */
export async function hosts(): Promise<Hosts> {
  return (await http.get<Hosts>('/api/hosts')).data;
}

/** How they are, also over the last hour if `courses`. */
export async function overview(courses: boolean): Promise<FleetOverview> {
  const params = courses ? { courses } : {};
  return (await http.get<FleetOverview>('/api/fleet/overview', { params })).data;
}
