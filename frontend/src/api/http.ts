/** The HTTP client: adds the bearer token, turns error responses into messages, and reports ended sessions. */
import axios, { isAxiosError } from 'axios';
import { basePath } from './base';

export interface Session {
  token: () => string | null;
  /** The server no longer accepts the token that was sent. */
  onUnauthorized: () => void;
}

let session: Session = { token: () => null, onUnauthorized: () => undefined };

/** Called once by the auth store, which owns the token. */
export function useSession(source: Session): void {
  session = source;
}

export const http = axios.create({ baseURL: basePath, timeout: 30_000 });

http.interceptors.request.use((config) => {
  const token = session.token();
  if (token !== null) config.headers.setAuthorization(`Bearer ${token}`);
  return config;
});

/** An error message for the user. `status` is null if there was no response. */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number | null,
    readonly retryAfterSeconds: number | null = null,
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

/** `detail` is a sentence, or a list of `{loc, msg}` for invalid input. */
function detailOf(body: unknown): string | null {
  if (typeof body !== 'object' || body === null || !('detail' in body)) return null;
  const { detail } = body;
  if (typeof detail === 'string') return detail;
  if (!Array.isArray(detail)) return null;
  const lines = detail.map((item: { loc?: unknown[]; msg?: string }) => {
    const field = item.loc?.at(-1);
    return typeof field === 'string' ? `${field}: ${item.msg ?? ''}` : (item.msg ?? '');
  });
  return lines.join('; ');
}

export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (!isAxiosError(error)) return new ApiError(error instanceof Error ? error.message : String(error), null);
  const { response } = error;
  if (response === undefined) {
    return new ApiError(
      error.code === 'ECONNABORTED'
        ? 'The server took too long to respond.'
        : 'Can’t reach the server. Is PerfWatch running?',
      null,
    );
  }
  const header: unknown = response.headers['retry-after'];
  const retryAfter = typeof header === 'string' && /^\d+$/.test(header) ? Number(header) : null;
  const fallback =
    `The server responded with ${response.status.toString()} ${response.statusText}`.trim() + '.';
  return new ApiError(detailOf(response.data) ?? fallback, response.status, retryAfter);
}

http.interceptors.response.use(undefined, (error: unknown) => {
  const apiError = toApiError(error);
  // A late 401 for an older token says nothing about the current one.
  const sent: unknown = isAxiosError(error) ? error.config?.headers.get('Authorization') : undefined;
  if (apiError.status === 401 && sent === `Bearer ${session.token() ?? ''}`) session.onUnauthorized();
  return Promise.reject(apiError);
});
