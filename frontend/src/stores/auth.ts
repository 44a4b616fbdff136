/** The signed-in user. The token is kept per tab, or per browser on request, and never past its expiry. */
import { defineStore } from 'pinia';
import { computed, shallowRef } from 'vue';
import * as api from '@/api/auth';
import { basePath } from '@/api/base';
import { toApiError, useSession } from '@/api/http';
import type { User } from '@/api/types';

/** Servers below one origin share its storage. */
const KEY = `perfwatch.session${basePath}`;

interface Stored {
  token: string;
  expiresAt: number;
}

function read(storage: Storage): Stored | null {
  try {
    const stored = JSON.parse(storage.getItem(KEY) ?? 'null') as Stored | null;
    return stored !== null && stored.expiresAt > Date.now() ? stored : null;
  } catch {
    return null;
  }
}

export type Ending = 'signed out' | 'expired';

export interface LoginFailure {
  title: string;
  reason: string;
  /** When another attempt is allowed, in milliseconds since the epoch. */
  retryAt: number | null;
}

/** Used when the server sends no Retry-After; its limit is per minute. */
const DEFAULT_WAIT_SECONDS = 60;

function explain(error: unknown): LoginFailure {
  const { status, message, retryAfterSeconds } = toApiError(error);
  if (status === 401) return { title: message, reason: 'Check both and try again.', retryAt: null };
  if (status === 429) {
    const retryAt = Date.now() + (retryAfterSeconds ?? DEFAULT_WAIT_SECONDS) * 1000;
    return { title: 'Too many failed sign-ins', reason: '', retryAt };
  }
  return { title: 'Sign-in failed', reason: message, retryAt: null };
}

export const useAuthStore = defineStore('auth', () => {
  const session = shallowRef<Stored | null>(read(sessionStorage) ?? read(localStorage));
  const user = shallowRef<User | null>(null);
  /** Why the last session ended. */
  const ended = shallowRef<Ending | null>(null);
  /** The token is being replaced: a 401 for the old one is expected. */
  let renewing = false;
  let expiry: ReturnType<typeof setTimeout> | undefined;

  const token = computed(() => session.value?.token ?? null);
  const signedIn = computed(() => session.value !== null);
  const isAdmin = computed(() => user.value?.role === 'admin');

  function endSession(why: Ending): void {
    clearTimeout(expiry);
    sessionStorage.removeItem(KEY);
    localStorage.removeItem(KEY);
    user.value = null;
    if (session.value === null) return;
    session.value = null;
    ended.value = why;
  }

  function watchExpiry(): void {
    clearTimeout(expiry);
    if (session.value === null) return;
    // Timers overflow at 32 bits, which a token can outlive, so wake at least once a day.
    const left = session.value.expiresAt - Date.now();
    expiry = setTimeout(
      () => {
        if ((session.value?.expiresAt ?? Infinity) <= Date.now()) endSession('expired');
        else watchExpiry();
      },
      Math.min(left, 86_400_000),
    );
  }

  async function login(username: string, password: string, remember: boolean): Promise<void> {
    const answer = await api.login(username, password);
    const stored = { token: answer.access_token, expiresAt: Date.now() + answer.expires_in * 1000 };
    session.value = stored;
    ended.value = null;
    (remember ? localStorage : sessionStorage).setItem(KEY, JSON.stringify(stored));
    watchExpiry();
    await loadUser();
  }

  /** Signs in, or returns why it failed. */
  async function tryLogin(
    username: string,
    password: string,
    remember: boolean,
  ): Promise<LoginFailure | null> {
    try {
      await login(username, password, remember);
      return null;
    } catch (error) {
      return explain(error);
    }
  }

  async function loadUser(): Promise<void> {
    try {
      user.value = await api.me();
    } catch {
      // A 401 has already ended the session; an unreachable server is shown by the stream's state.
    }
  }

  /** Changing the password revokes every login of the account, so sign in again at once. */
  async function changePassword(current: string, next: string): Promise<void> {
    const username = user.value?.username ?? '';
    const remembered = localStorage.getItem(KEY) !== null;
    renewing = true;
    try {
      await api.changePassword(current, next);
      await login(username, next, remembered);
    } finally {
      renewing = false;
    }
  }

  async function logout(): Promise<void> {
    // The token is dropped here even if the server cannot be reached.
    await api.logout().catch(() => undefined);
    endSession('signed out');
  }

  /** Asks the server whether the token is still valid. An unreachable server proves nothing. */
  async function hasEnded(): Promise<boolean> {
    if (session.value === null) return true;
    try {
      user.value = await api.me();
      return false;
    } catch (error) {
      return toApiError(error).status === 401 && !renewing;
    }
  }

  useSession({
    token: () => token.value,
    onUnauthorized: () => {
      if (!renewing) endSession('expired');
    },
  });
  watchExpiry();

  return { token, user, ended, signedIn, isAdmin, tryLogin, changePassword, loadUser, logout, hasEnded };
});
