import { http } from './http';
import type { Source } from './types';

export async function sources(): Promise<Source[]> {
  return (await http.get<{ sources: Source[] }>('/api/sources')).data.sources;
}
