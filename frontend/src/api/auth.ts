import { http } from './http';
import type { Token, User } from './types';

export async function login(username: string, password: string): Promise<Token> {
  return (await http.post<Token>('/api/auth/login', { username, password })).data;
}

export async function logout(): Promise<void> {
  await http.post('/api/auth/logout');
}

export async function me(): Promise<User> {
  return (await http.get<User>('/api/auth/me')).data;
}

export async function changePassword(current: string, next: string): Promise<void> {
  await http.put('/api/auth/password', { current_password: current, new_password: next });
}
