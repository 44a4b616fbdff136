/**
 * The live stream: a WebSocket that reconnects automatically. Independent of Vue; clock, randomness and socket are
 * injected, so that it can be tested without waiting.
 */
import { basePath } from './base';
import type { StreamMessage } from './types';
import { canUnpack, Unpacker } from './unpack';

export type StreamState =
  | { kind: 'connecting' }
  | { kind: 'open' }
  | { kind: 'waiting'; attempt: number; retryAt: number }
  | { kind: 'failed'; attempts: number }
  | { kind: 'closed' };

export interface Socket {
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number }) => void) | null;
  send: (text: string) => void;
  close: () => void;
}

export interface StreamDependencies {
  open: () => Socket;
  onMessage: (message: StreamMessage) => void;
  onState: (state: StreamState) => void;
  /** Whether the token is no longer valid; called when the server refuses a connection. */
  sessionEnded: () => Promise<boolean>;
  now?: () => number;
  random?: () => number;
}

const FIRST_DELAY_MS = 1000;
const MAX_DELAY_MS = 30_000;
/** About three minutes; after that the user decides. */
const MAX_ATTEMPTS = 10;
const PING_AFTER_MS = 20_000;
const PONG_TIMEOUT_MS = 10_000;
/** The server's close code for an expired token. */
const TOKEN_EXPIRED = 4001;

/** Capped exponential backoff, jittered over its upper half so that pages don't all reconnect at once. */
export function retryDelay(attempt: number, random: number): number {
  const full = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (attempt - 1));
  return Math.round(full * (0.5 + random / 2));
}

export class MetricStream {
  private socket: Socket | null = null;
  private attempts = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private heartbeat: ReturnType<typeof setTimeout> | undefined;
  private stopped = true;
  private opened = false;

  constructor(private readonly on: StreamDependencies) {}

  start(): void {
    this.stopped = false;
    this.attempts = 0;
    this.connect();
  }

  /** Reconnects immediately, skipping the backoff. */
  retry(): void {
    if (!this.stopped && this.socket === null) this.start();
  }

  /** After a suspend the connection may be dead: pings at once instead of after some silence. */
  check(): void {
    if (this.opened) this.ping();
  }

  stop(): void {
    this.stopped = true;
    this.drop();
    this.on.onState({ kind: 'closed' });
  }

  private drop(): void {
    clearTimeout(this.timer);
    clearTimeout(this.heartbeat);
    this.opened = false;
    if (this.socket === null) return;
    const socket = this.socket;
    this.socket = null;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  private connect(): void {
    this.drop();
    this.on.onState({ kind: 'connecting' });
    const socket = this.on.open();
    this.socket = socket;
    const unpacker = new Unpacker();
    socket.onopen = () => {
      this.opened = true;
      this.on.onState({ kind: 'open' });
      this.armHeartbeat();
    };
    socket.onmessage = (event) => {
      this.attempts = 0;
      this.armHeartbeat();
      if (typeof event.data === 'string') this.deliver(event.data);
      else if (event.data instanceof ArrayBuffer) void this.unpack(socket, unpacker, event.data);
    };
    socket.onclose = (event) => {
      const { opened } = this;
      this.drop();
      void this.onLost(opened, event.code);
    };
  }

  private deliver(text: string): void {
    const message = parse(text);
    if (message !== null) this.on.onMessage(message);
  }

  private async unpack(socket: Socket, unpacker: Unpacker, tick: ArrayBuffer): Promise<void> {
    try {
      const text = await unpacker.unpack(tick);
      if (this.socket === socket) this.deliver(text);
    } catch {
      // The next one would be based on it.
      socket.close();
    }
  }

  private async onLost(opened: boolean, code: number): Promise<void> {
    if (code === TOKEN_EXPIRED || !opened) {
      // Browsers hide why a handshake failed, so ask the server over HTTP.
      const ended = await this.on.sessionEnded();
      if (this.stopped || this.socket !== null) return;
      if (ended) {
        this.stop();
        return;
      }
    }
    this.attempts += 1;
    if (this.attempts > MAX_ATTEMPTS) {
      this.on.onState({ kind: 'failed', attempts: MAX_ATTEMPTS });
      return;
    }
    const delay = retryDelay(this.attempts, (this.on.random ?? Math.random)());
    const now = (this.on.now ?? Date.now)();
    this.on.onState({ kind: 'waiting', attempt: this.attempts, retryAt: now + delay });
    this.timer = setTimeout(() => {
      this.connect();
    }, delay);
  }

  /** A connection can die without a close: ping after some silence, and reconnect if there is no pong. */
  private armHeartbeat(): void {
    clearTimeout(this.heartbeat);
    this.heartbeat = setTimeout(() => {
      this.ping();
    }, PING_AFTER_MS);
  }

  private ping(): void {
    clearTimeout(this.heartbeat);
    this.socket?.send('{"type":"ping"}');
    this.heartbeat = setTimeout(() => {
      this.drop();
      void this.onLost(true, 1006);
    }, PONG_TIMEOUT_MS);
  }
}

function parse(text: string): StreamMessage | null {
  try {
    const message: unknown = JSON.parse(text);
    return typeof message === 'object' && message !== null && 'type' in message
      ? (message as StreamMessage)
      : null;
  } catch {
    return null;
  }
}

/** The server's socket, with compressed ticks. The token travels as a subprotocol: not logged. */
export function openMetricsSocket(token: string, host: string | null): Socket {
  const url = new URL(`${basePath}/api/ws/metrics`, location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  if (host !== null) url.searchParams.set('host', host);
  if (canUnpack) url.searchParams.set('compression', 'deflate');
  const socket = new WebSocket(url, ['bearer', token]);
  socket.binaryType = 'arraybuffer';
  return socket as Socket;
}
