import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MetricStream, retryDelay, type Socket, type StreamState } from '@/api/stream';
import type { StreamMessage } from '@/api/types';

class FakeSocket implements Socket {
  onopen: Socket['onopen'] = null;
  onmessage: Socket['onmessage'] = null;
  onclose: Socket['onclose'] = null;
  sent: string[] = [];
  closed = false;
  send(text: string) {
    this.sent.push(text);
  }
  close() {
    this.closed = true;
  }
}

let sockets: FakeSocket[];
let states: StreamState[];
let messages: StreamMessage[];
let ended: boolean;
let stream: MetricStream;

const newest = () => sockets.at(-1)!;
const state = () => states.at(-1)!;
const settle = () => vi.advanceTimersByTimeAsync(0);

beforeEach(() => {
  vi.useFakeTimers();
  [sockets, states, messages, ended] = [[], [], [], false];
  stream = new MetricStream({
    open: () => {
      sockets.push(new FakeSocket());
      return newest();
    },
    onMessage: (message) => messages.push(message),
    onState: (next) => states.push(next),
    sessionEnded: () => Promise.resolve(ended),
    random: () => 1,
  });
  stream.start();
});

afterEach(() => {
  stream.stop();
  vi.useRealTimers();
});

describe('MetricStream', () => {
  it('connects and delivers messages', () => {
    expect(state().kind).toBe('connecting');
    newest().onopen?.();
    expect(state().kind).toBe('open');
    newest().onmessage?.({ data: '{"type":"pong"}' });
    expect(messages).toEqual([{ type: 'pong' }]);
  });

  it('ignores invalid messages', () => {
    newest().onopen?.();
    for (const data of ['{', '[]', '1', 'null', new Blob()]) newest().onmessage?.({ data });
    expect(messages).toEqual([]);
    expect(state().kind).toBe('open');
  });

  it('reads compressed ticks, also those based on the one before', async () => {
    // Made with Python's zlib.
    const packed = [
      'AKtWKqksSFWyUspNLSnKTC5W0lEqTk3Oz0tRsjIEMhNzQXIVRILEpOSU1LT0DFy0Ui0A',
      'AavGbZ0RDawDAA==',
      'AavGbZ0xDawDAA==',
      'AKtWKqksSFWyUspNLSnKTC5W0lEqTk3Oz0tRsjIBMhNzQXIVRILEpOSU1LT0DFy0Ui0A',
    ].map((text) => ({ data: Uint8Array.from(atob(text), (char) => char.charCodeAt(0)).buffer }));
    const seconds = () => messages.map((message) => 'second' in message && message.second);
    newest().onopen?.();
    for (const tick of packed) newest().onmessage?.(tick);
    await vi.waitFor(() => {
      expect(seconds()).toEqual([1, 2, 3, 4]);
    });
    // What can't be read would make the next ones unreadable.
    newest().onmessage?.({ data: Uint8Array.of(1, 0xff).buffer });
    await vi.waitFor(() => {
      expect(newest().closed).toBe(true);
    });
    newest().onclose?.({ code: 1005 });
    await settle();
    expect(state().kind).toBe('waiting');
    expect(messages).toHaveLength(4);
  });

  it('reconnects with exponential backoff', async () => {
    const pauses: number[] = [];
    for (let i = 0; i < 6; i += 1) {
      newest().onclose?.({ code: 1006 });
      await settle();
      const waiting = state();
      if (waiting.kind !== 'waiting') throw new Error(`expected to wait, was ${waiting.kind}`);
      expect(waiting.attempt).toBe(i + 1);
      pauses.push(waiting.retryAt - Date.now());
      await vi.advanceTimersByTimeAsync(waiting.retryAt - Date.now() - 1);
      expect(sockets).toHaveLength(i + 1);
      await vi.advanceTimersByTimeAsync(1);
      expect(sockets).toHaveLength(i + 2);
    }
    expect(pauses).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000]);
  });

  it('resets the backoff once data flows', async () => {
    newest().onclose?.({ code: 1006 });
    await vi.advanceTimersByTimeAsync(1000);
    newest().onopen?.();
    newest().onmessage?.({ data: '{"type":"pong"}' });
    newest().onclose?.({ code: 1001 });
    await settle();
    expect(state()).toMatchObject({ kind: 'waiting', attempt: 1 });
  });

  it('gives up after ten attempts and lets the user retry', async () => {
    for (let i = 0; i < 11; i += 1) {
      newest().onclose?.({ code: 1006 });
      await vi.advanceTimersByTimeAsync(30_000);
    }
    expect(state().kind).toBe('failed');
    const before = sockets.length;
    await vi.advanceTimersByTimeAsync(600_000);
    expect(sockets).toHaveLength(before);
    stream.retry();
    expect(state().kind).toBe('connecting');
    expect(sockets).toHaveLength(before + 1);
  });

  it('retries at once on request, and only once', async () => {
    newest().onclose?.({ code: 1006 });
    await settle();
    stream.retry();
    stream.retry();
    expect(sockets).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(2000);
    expect(sockets).toHaveLength(2);
  });

  it('stops when the token is no longer valid', async () => {
    ended = true;
    newest().onopen?.();
    newest().onclose?.({ code: 4001 });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(state().kind).toBe('closed');
    expect(sockets).toHaveLength(1);
  });

  it('keeps trying after a refused handshake while the token is valid', async () => {
    newest().onclose?.({ code: 1006 });
    await settle();
    expect(state().kind).toBe('waiting');
  });

  it('pings a silent server, and reconnects without a pong', async () => {
    newest().onopen?.();
    await vi.advanceTimersByTimeAsync(20_000);
    expect(newest().sent).toEqual(['{"type":"ping"}']);
    newest().onmessage?.({ data: '{"type":"pong"}' });
    await vi.advanceTimersByTimeAsync(29_999);
    expect(state().kind).toBe('open');
    await vi.advanceTimersByTimeAsync(1);
    expect(state().kind).toBe('waiting');
    expect(sockets[0]?.closed).toBe(true);
  });

  it('does nothing once stopped', async () => {
    const socket = newest();
    newest().onopen?.();
    stream.stop();
    expect(socket.closed).toBe(true);
    await vi.advanceTimersByTimeAsync(120_000);
    stream.retry();
    expect(sockets).toHaveLength(1);
    expect(state().kind).toBe('closed');
  });
});

describe('retryDelay', () => {
  it('jitters over the upper half of a capped exponential', () => {
    expect(retryDelay(1, 0)).toBe(500);
    expect(retryDelay(1, 1)).toBe(1000);
    expect(retryDelay(50, 0)).toBe(15_000);
    expect(retryDelay(50, 1)).toBe(30_000);
  });
});
