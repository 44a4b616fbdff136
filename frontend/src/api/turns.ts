/** At most `atOnce` requests at a time, first come, first served: the server refuses a user who asks too much at once. */
export function turns(atOnce: number) {
  let running = 0;
  const waiting: (() => void)[] = [];

  /** A request that was cancelled before its turn is not sent. */
  return async function inTurn<T>(ask: () => Promise<T>, signal: AbortSignal): Promise<T> {
    if (running < atOnce) running += 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      signal.throwIfAborted();
      return await ask();
    } finally {
      const next = waiting.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  };
}
