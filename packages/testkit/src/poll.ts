/**
 * Waiting for a condition of the outside world: ask again and again, never sleep and hope.
 */
import { setTimeout as delay } from "node:timers/promises";

/** How {@link pollUntil} waits. */
export interface PollOptions {
  /** The longest wait before it gives up, in milliseconds. Default 30 000. */
  readonly timeoutMs?: number;
  /** The pause between two probes, in milliseconds. Default 5. */
  readonly intervalMs?: number;
}

/** An answer, or one of the three ways to say "not yet". */
export type Answer<T> = T | undefined | null | false;

/**
 * Asks `probe` until it answers something other than `undefined`, `null` or `false`. An error of the probe counts as "not yet".
 *
 * @param what what is awaited, for the error message: "the replica is linked".
 * @param probe the question; may be asynchronous.
 * @returns the first answer that is neither `undefined`, `null` nor `false`.
 * @throws Error after `timeoutMs`, with the probe's last error as its cause.
 */
export async function pollUntil<T>(
  what: string,
  probe: () => Answer<T> | Promise<Answer<T>>,
  options: PollOptions = {},
): Promise<T & {}> {
  const { timeoutMs = 30_000, intervalMs = 5 } = options;
  const deadline = performance.now() + timeoutMs;
  let lastError: unknown;
  for (;;) {
    try {
      const answer = await probe();
      if (answer !== undefined && answer !== null && answer !== false) {
        return answer;
      }
      lastError = undefined;
    } catch (error) {
      if (error instanceof HopelessError) throw error.cause;
      lastError = error;
    }
    if (performance.now() >= deadline) {
      throw new Error(`Waited ${timeoutMs} ms in vain: ${what}.`, lastError === undefined ? {} : { cause: lastError });
    }
    await delay(intervalMs);
  }
}

/** Thrown by a probe to end the polling at once: its cause is what {@link pollUntil} throws. */
export class HopelessError extends Error {
  override readonly name = "HopelessError";

  constructor(cause: unknown) {
    super("polling is hopeless", { cause });
  }
}
