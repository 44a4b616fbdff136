/** Who is signed in. The token lives in the tab, or in the browser when asked to stay, and never past its end. */
import { defineStore } from 'pinia';
import { computed, shallowRef } from 'vue';
import * as api from '@/api/auth';
import { toApiError, useSession } from '@/api/http';
import type { User } from '@/api/types';

const KEY = 'perfwatch.session';

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
  /** When the attempt limit allows another try, in milliseconds since the epoch. */
  retryAt: number | null;
}

/** An attempt limit without a stated time is one per minute at the latest. */
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
  /** Why the last session ended; the router sends the reader to the login page when it changes. */
  const ended = shallowRef<Ending | null>(null);
  /** The token is known to be dead and its successor on the way: refusals of the old one mean nothing. */
  let renewing = false;
  let expiry: ReturnType<typeof setTimeout> | undefined;

  const token = computed(() => session.value?.token ?? null);
  const signedIn = computed(() => session.value !== null);
  const isAdmin = computed(() => user.value?.role === 'admin');

  function forget(why: Ending): void {
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
    // Timers count in 32 bits; the longest token outlives them, so wake at least once a day.
    const left = session.value.expiresAt - Date.now();
    expiry = setTimeout(
      () => {
        if ((session.value?.expiresAt ?? Infinity) <= Date.now()) forget('expired');
        else watchExpiry();
      },
      Math.min(left, 86_400_000),
    );
  }

  async function login(username: string, password: string, stay: boolean): Promise<void> {
    const answer = await api.login(username, password);
    const stored = { token: answer.access_token, expiresAt: Date.now() + answer.expires_in * 1000 };
    session.value = stored;
    ended.value = null;
    (stay ? localStorage : sessionStorage).setItem(KEY, JSON.stringify(stored));
    watchExpiry();
    await loadUser();
  }

  /** Signs in, or tells why not. */
  async function tryLogin(username: string, password: string, stay: boolean): Promise<LoginFailure | null> {
    try {
      await login(username, password, stay);
      return null;
    } catch (error) {
      return explain(error);
    }
  }

  async function loadUser(): Promise<void> {
    try {
      user.value = await api.me();
    } catch {
      // A refusal has ended the session already; an unreachable server is shown by the stream.
    }
  }

  /** Every token of the account ends with its old password, so a new one is fetched at once. */
  async function changePassword(current: string, next: string): Promise<void> {
    const username = user.value?.username ?? '';
    const stays = localStorage.getItem(KEY) !== null;
    renewing = true;
    try {
      await api.changePassword(current, next);
      await login(username, next, stays);
    } finally {
      renewing = false;
    }
  }

  async function logout(): Promise<void> {
    // The token is forgotten here even when the server cannot be told.
    await api.logout().catch(() => undefined);
    forget('signed out');
  }

  /** Asks the server whether the token still counts. An unreachable server proves nothing. */
  async function isOver(): Promise<boolean> {
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
      if (!renewing) forget('expired');
    },
  });
  watchExpiry();

  return { token, user, ended, signedIn, isAdmin, tryLogin, changePassword, loadUser, logout, isOver };
});
