/** Waiting that ends: with a signal, with the ambient deadline, or after a time. What is waited for goes on without us. */
import { ambientRemainingMs, deadlineListOf, onAbort } from "@holdfast/core";
import type { Clock } from "@holdfast/core";

/** The wait was over before the answer came. */
export class WaitOverError extends Error {}

function waitOver(timeoutMs: number): WaitOverError {
  return new WaitOverError(`no answer within ${timeoutMs} ms`);
}

/** How long to wait. */
export interface Patience {
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds; Infinity for no limit. */
  readonly timeoutMs: number;
}

/** The patience of a caller, which his deadline may end. */
export interface AmbientPatience extends Patience {
  /** Whether it is the ambient deadline that comes first. */
  readonly ambient: boolean;
}

/** The patience of a wait of at most `answerMs` that the ambient deadline and a signal end, too. */
export function patienceOf(clock: Clock, signal: AbortSignal | undefined, answerMs: number): AmbientPatience {
  const ambientMs = ambientRemainingMs();
  return { clock, signal, timeoutMs: Math.min(ambientMs, answerMs), ambient: ambientMs <= answerMs };
}

/** Whether nothing ends the wait but the answer: the usual case, of a caller without deadline and signal. */
export function isEndless({ signal, timeoutMs }: Patience): boolean {
  return signal === undefined && timeoutMs === Infinity;
}

/**
 * Waits for a promise. A late rejection of it is not unhandled.
 * @throws WaitOverError after the time, the signal's reason when it aborts, or what the promise rejects with
 */
export function waitFor<Value>(promise: Promise<Value>, patience: Patience): Promise<Value> {
  if (isEndless(patience)) return promise;
  const { clock, signal, timeoutMs } = patience;
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      promise.catch(() => undefined);
      reject(signal.reason as Error);
      return;
    }
    const timer =
      timeoutMs === Infinity ? undefined : clock.setTimer(() => end(() => reject(waitOver(timeoutMs))), timeoutMs);
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

/**
 * As `waitFor`, for a time that is the same for many, as that of each COMMIT: they share a timer.
 * @throws WaitOverError, or what the promise rejects with
 */
export function waitAtMost<Value>(promise: Promise<Value>, clock: Clock, timeoutMs: number): Promise<Value> {
  return new Promise((resolve, reject) => {
    const deadline = deadlineListOf(clock, timeoutMs).add(() => reject(waitOver(timeoutMs)));
    promise.then(
      (value) => {
        deadline.cancel();
        resolve(value);
      },
      (error: unknown) => {
        deadline.cancel();
        reject(error);
      },
    );
  });
}
