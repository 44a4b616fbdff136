import { afterEach, describe, expect, it, vi } from 'vitest';
import { ApiError, http } from '@/api/http';

/** A response in pieces of bytes. */
function pieces(text: string, size: number): Response {
  const bytes = new TextEncoder().encode(text);
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size));
      controller.close();
    },
  });
  return new Response(body);
}

describe('an answer in lines', () => {
  afterEach(() => {
    vi.unstubAllGlobals();
    vi.useRealTimers();
  });

  it('is the same however it is cut into pieces', async () => {
    for (const size of [1, 2, 7, 1000]) {
      vi.stubGlobal('fetch', () => Promise.resolve(pieces('{"a":"µ"}\n{"a":"–"}\n', size)));
      const found: unknown[] = [];
      await http.lines('/api/history/columns', {}, (line) => found.push(line));
      expect(found).toEqual([{ a: 'µ' }, { a: '–' }]);
    }
  });

  it('is given up when nothing comes for long, not when all of it takes long', async () => {
    vi.useFakeTimers();
    let feed: ReadableStreamDefaultController<Uint8Array> | null = null;
    vi.stubGlobal('fetch', (_: string, { signal }: RequestInit) => {
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          feed = controller;
          signal?.addEventListener('abort', () => {
            controller.error(new DOMException('aborted', 'AbortError'));
          });
        },
      });
      return Promise.resolve(new Response(body));
    });
    const found: number[] = [];
    const asked = http.lines<number>('/api/history/columns', { timeout: 1000 }, (line) => found.push(line));
    const failed = asked.catch((error: unknown) => error);
    for (const n of [1, 2, 3]) {
      await vi.advanceTimersByTimeAsync(900);
      feed!.enqueue(new TextEncoder().encode(`${n.toString()}\n`));
    }
    await vi.advanceTimersByTimeAsync(900);
    expect(found).toEqual([1, 2, 3]);
    await vi.advanceTimersByTimeAsync(200);
    expect(await failed).toEqual(new ApiError('The server took too long to respond.', null));
  });
});
