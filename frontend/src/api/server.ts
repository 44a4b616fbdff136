import { http } from './http';
import type { Source } from './types';

/** The list may come bare or wrapped. */
export async function sources(): Promise<Source[]> {
  const { data } = await http.get<Source[] | { sources: Source[] }>('/api/sources');
  return Array.isArray(data) ? data : data.sources;
}
