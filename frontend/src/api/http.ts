/** The HTTP client: adds the bearer token, turns error responses into messages, and reports ended sessions. */
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

/** Paths that ask about one machine: a hub must be told about which. */
const OF_ONE_MACHINE = /^\/api\/(history|profiles|events|processes|doctor|sources)(\/|$)/;
let machine: () => string | null = () => null;

/** Called once by the fleet's store: the machine that the page is about, or null for the server's own. */
export function useMachine(source: () => string | null): void {
  machine = source;
}

/** What is wrong with one part of the input; `at` is its path in the body or the query. */
export interface InputProblem {
  at: readonly string[];
  message: string;
}

/** An error message for the user. `status` is null if there was no response. */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number | null,
    readonly retryAfterSeconds: number | null = null,
    /** Of invalid input. */
    readonly problems: readonly InputProblem[] = [],
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  return new ApiError(error instanceof Error ? error.message : String(error), null);
}

interface Options {
  /** Parameters of the query; those that are undefined are left out. */
  params?: Record<string, string | number | boolean | null | undefined>;
  signal?: AbortSignal | undefined;
  /** ms; 0 waits without end. */
  timeout?: number;
  responseType?: 'json' | 'blob';
}

const TIMEOUT_MS = 30_000;

function addressOf(path: string, params: Options['params'] = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== null) query.set(name, String(value));
  }
  const host = OF_ONE_MACHINE.test(path) && !query.has('host') ? machine() : null;
  if (host !== null) query.set('host', host);
  return `${basePath}${path}${query.size > 0 ? `?${query.toString()}` : ''}`;
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

function problemsOf(body: unknown): InputProblem[] {
  const detail = typeof body === 'object' && body !== null && 'detail' in body ? body.detail : null;
  if (!Array.isArray(detail)) return [];
  return detail.map((item: { loc?: unknown[]; msg?: string }) => ({
    at: (item.loc ?? []).map(String),
    message: item.msg ?? '',
  }));
}

async function refusal(response: Response): Promise<ApiError> {
  const header = response.headers.get('retry-after') ?? '';
  const fallback =
    `The server responded with ${response.status.toString()} ${response.statusText}`.trim() + '.';
  const body: unknown = await response.json().catch(() => null);
  return new ApiError(
    detailOf(body) ?? fallback,
    response.status,
    /^\d+$/.test(header) ? Number(header) : null,
    problemsOf(body),
  );
}

/** Sends a request, and reads the response with `read`; `alive` is called whenever there is progress. */
async function exchange<T>(
  method: string,
  path: string,
  body: unknown,
  { params, signal, timeout = TIMEOUT_MS }: Options,
  read: (response: Response, alive: () => void) => Promise<T>,
): Promise<T> {
  const token = session.token();
  const headers = new Headers({ accept: 'application/json' });
  if (token !== null) headers.set('authorization', `Bearer ${token}`);
  if (body !== undefined) headers.set('content-type', 'application/json');
  const late = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const alive = (): void => {
    clearTimeout(timer);
    if (timeout > 0)
      timer = setTimeout(() => {
        late.abort();
      }, timeout);
  };
  alive();
  try {
    const response = await fetch(addressOf(path, params), {
      method,
      headers,
      signal: AbortSignal.any([late.signal, ...(signal ? [signal] : [])]),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) {
      // A late 401 for an older token says nothing about the current one.
      if (response.status === 401 && token !== null && token === session.token()) session.onUnauthorized();
      throw await refusal(response);
    }
    return await read(response, alive);
  } catch (error) {
    if (error instanceof ApiError || signal?.aborted === true) throw error;
    throw new ApiError(
      late.signal.aborted
        ? 'The server took too long to respond.'
        : 'Can’t reach the server. Is PerfWatch running?',
      null,
    );
  } finally {
    clearTimeout(timer);
  }
}

async function request<T>(
  method: string,
  path: string,
  body: unknown,
  options: Options = {},
): Promise<{ data: T }> {
  return await exchange(method, path, body, options, async (response) => {
    if (options.responseType === 'blob') return { data: (await response.blob()) as T };
    const text = await response.text();
    return { data: (text === '' ? undefined : JSON.parse(text)) as T };
  });
}

/** Calls `each` with each line of JSON as it comes; the time limit is for the next piece, not for all. */
async function lines<T>(path: string, options: Options, each: (line: T) => void): Promise<void> {
  await exchange('GET', path, undefined, options, async (response, alive) => {
    if (response.body === null) return;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      alive();
      const parts = (rest + read.value).split('\n');
      rest = parts.pop() ?? '';
      for (const line of parts) each(JSON.parse(line) as T);
    }
  });
}

export const http = {
  lines,
  get: <T>(path: string, options?: Options) => request<T>('GET', path, undefined, options),
  post: <T>(path: string, body?: unknown, options?: Options) => request<T>('POST', path, body, options),
  put: <T>(path: string, body: unknown) => request<T>('PUT', path, body),
  delete: <T = unknown>(path: string) => request<T>('DELETE', path, undefined),
};
