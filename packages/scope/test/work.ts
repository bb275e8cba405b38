/** Work for tests: some that never ends, and some that ends when it is told to. */

/** Never settles. */
export function hang(): Promise<never> {
  return new Promise(() => undefined);
}

/** Rejects with the signal's reason when it aborts. */
export function untilAborted(signal: AbortSignal, onReason?: (reason: unknown) => void): Promise<never> {
  return new Promise((_resolve, reject) => {
    const stop = (): void => {
      onReason?.(signal.reason);
      reject(signal.reason as Error);
    };
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
}
