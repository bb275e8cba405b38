/** Owns how a loop of work waits: it wakes up when it shall end. */
import { setTimeout as delay } from "node:timers/promises";

/** Waits so long, in milliseconds, or until the signal aborts. */
export async function pace(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined);
}

/** Resolves when the signal has aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
