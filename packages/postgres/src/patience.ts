/** Waiting that ends: with a signal, with the ambient deadline, or after a time. What is waited for goes on without us. */
import { ambientRemainingMs, onAbort } from "@holdfast/core";
import type { Clock } from "@holdfast/core";

/** The wait was over before the answer came. */
export class WaitOverError extends Error {}

/** How long to wait. */
export interface Patience {
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds; Infinity for no limit. */
  readonly timeoutMs: number;
}

/** The patience of a wait that the ambient deadline and a signal end. */
export function patienceOf(clock: Clock, signal: AbortSignal | undefined): Patience {
  return { clock, signal, timeoutMs: ambientRemainingMs() };
}

/**
 * Waits for a promise. A late rejection of it is not unhandled.
 * @throws WaitOverError after the time, the signal's reason when it aborts, or what the promise rejects with
 */
export function waitFor<Value>(promise: Promise<Value>, { clock, signal, timeoutMs }: Patience): Promise<Value> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      promise.catch(() => undefined);
      reject(signal.reason as Error);
      return;
    }
    const timer =
      timeoutMs === Infinity
        ? undefined
        : clock.setTimer(() => end(() => reject(new WaitOverError(`no answer within ${timeoutMs} ms`))), timeoutMs);
    const abort = signal === undefined ? undefined : onAbort(signal, () => end(() => reject(signal.reason as Error)));
    const end = (settle: () => void): void => {
      if (timer !== undefined) clock.clearTimer(timer);
      abort?.cancel();
      settle();
    };
    promise.then(
      (value) => end(() => resolve(value)),
      (error: unknown) => end(() => reject(error)),
    );
  });
}
