import { http } from './http';
import type { SavedBoard } from './types';

type Content = Pick<SavedBoard, 'panels'>;

const address = (name: string): string => `/api/boards/${encodeURIComponent(name)}`;

export async function boards(): Promise<SavedBoard[]> {
  return (await http.get<{ boards: SavedBoard[] }>('/api/boards')).data.boards;
}

export async function saveBoard(name: string, content: Content): Promise<void> {
  await http.put(address(name), content);
}

export async function deleteBoard(name: string): Promise<void> {
  await http.delete(address(name));
}
