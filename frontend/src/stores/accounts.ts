/** Users, API tokens and the audit log, for administrators. */
import { defineStore } from 'pinia';
import { shallowRef } from 'vue';
import { toApiError } from '@/api/http';
import * as api from '@/api/server';
import type {
  ApiToken,
  AuditEntry,
  CreatedApiToken,
  NewApiToken,
  NewUser,
  User,
  UserChange,
} from '@/api/types';

export const useAccountsStore = defineStore('accounts', () => {
  const users = shallowRef<User[]>([]);
  const tokens = shallowRef<ApiToken[]>([]);
  const audit = shallowRef<AuditEntry[]>([]);
  const error = shallowRef<string | null>(null);

  async function load(): Promise<void> {
    try {
      [users.value, tokens.value, audit.value] = await Promise.all([
        api.users(),
        api.tokens(),
        api.auditLog(),
      ]);
      error.value = null;
    } catch (caught) {
      error.value = toApiError(caught).message;
    }
  }

  /** Reloads everything after a change. */
  async function thenReload<T>(change: Promise<T>): Promise<T> {
    const result = await change;
    await load();
    return result;
  }

  const addUser = (user: NewUser): Promise<void> => thenReload(api.addUser(user));
  const changeUser = (id: number, change: UserChange): Promise<void> =>
    thenReload(api.changeUser(id, change));
  const deleteUser = (id: number): Promise<void> => thenReload(api.deleteUser(id));
  const createToken = (token: NewApiToken): Promise<CreatedApiToken> => thenReload(api.createToken(token));
  const revokeToken = (id: number): Promise<void> => thenReload(api.revokeToken(id));

  return { users, tokens, audit, error, load, addUser, changeUser, deleteUser, createToken, revokeToken };
});
