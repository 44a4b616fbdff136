import { http } from './http';
import type {
  ApiToken,
  AuditEntry,
  CleanupResult,
  Configuration,
  ConfigurationChange,
  CreatedApiToken,
  Findings,
  NewApiToken,
  NewUser,
  Retention,
  RetentionChange,
  RetentionOverride,
  Source,
  User,
  UserChange,
} from './types';

export async function sources(): Promise<Source[]> {
  return (await http.get<{ sources: Source[] }>('/api/sources')).data.sources;
}

/** What works on the server's machine, what does not, why, and how to fix it. */
export async function doctor(): Promise<Findings> {
  return (await http.get<Findings>('/api/doctor')).data;
}

export async function configuration(): Promise<Configuration> {
  return (await http.get<Configuration>('/api/config')).data;
}

export async function changeConfiguration(change: ConfigurationChange): Promise<Configuration> {
  return (await http.put<{ config: Configuration }>('/api/config', change)).data.config;
}

/** The retention policy and the size of the stored data. */
export async function retention(): Promise<Retention> {
  return (await http.get<Retention>('/api/config/retention')).data;
}

export async function changeRetention(change: RetentionChange): Promise<void> {
  await http.put('/api/retention', change);
}

export async function retentionOverrides(): Promise<RetentionOverride[]> {
  return (await http.get<{ overrides: RetentionOverride[] }>('/api/retention/overrides')).data.overrides;
}

export async function changeRetentionOverrides(overrides: RetentionOverride[]): Promise<RetentionOverride[]> {
  const answer = await http.put<{ overrides: RetentionOverride[] }>('/api/retention/overrides', {
    overrides,
  });
  return answer.data.overrides;
}

export async function cleanUp(): Promise<CleanupResult> {
  // There may be years of raw samples to downsample.
  return (await http.post<CleanupResult>('/api/retention/cleanup', undefined, { timeout: 0 })).data;
}

export async function users(): Promise<User[]> {
  return (await http.get<{ users: User[] }>('/api/users')).data.users;
}

export async function addUser(user: NewUser): Promise<void> {
  await http.post('/api/users', user);
}

export async function changeUser(id: number, change: UserChange): Promise<void> {
  await http.put(`/api/users/${id.toString()}`, change);
}

export async function deleteUser(id: number): Promise<void> {
  await http.delete(`/api/users/${id.toString()}`);
}

export async function tokens(): Promise<ApiToken[]> {
  return (await http.get<{ tokens: ApiToken[] }>('/api/tokens')).data.tokens;
}

/** The only response that contains the token itself. */
export async function createToken(token: NewApiToken): Promise<CreatedApiToken> {
  return (await http.post<CreatedApiToken>('/api/tokens', token)).data;
}

export async function revokeToken(id: number): Promise<void> {
  await http.delete(`/api/tokens/${id.toString()}`);
}

export async function auditLog(): Promise<AuditEntry[]> {
  return (await http.get<{ entries: AuditEntry[] }>('/api/audit')).data.entries;
}
