/**
 * The only file of the published packages that reads a clock or arms a timer.
 *
 * Wall time that decides anything comes from Redis (server-clock.ts). The client measures durations with a monotonic clock; it reads
 * its own wall clock only to notice that the machine slept, which a monotonic clock may not count.
 */

import { performance } from "node:perf_hooks";

/** An armed timer, opaque to everybody but the clock that made it. */
export interface TimerHandle {
  readonly timer: unknown;
}

/** Time as a value that can be injected. */
export interface Clock {
  /** Milliseconds from an arbitrary start; never goes back, not even when the system clock is set. */
  monotonicMs(): number;
  /** Epoch milliseconds by the local system clock. */
  wallMs(): number;
  /**
   * Calls back once, and not before the delay has passed by `monotonicMs`.
   * @param callback runs once
   * @param delayMs milliseconds, 0 and below mean as soon as possible
   * @param weak true when the timer alone is no reason to keep the process alive
   */
  setTimer(callback: () => void, delayMs: number, weak?: boolean): TimerHandle;
  /** Disarms a timer; one that has fired is ignored. */
  clearTimer(handle: TimerHandle): void;
}

/** Node fires a longer timeout at once: 2^31 - 1 ms, about 24.8 days. */
const timeoutMaxMs = 2_147_483_647;

/**
 * A timeout of Node's that keeps its word. Node counts in whole milliseconds from the one that has begun, so it may fire nearly one early;
 * whoever gives up then is ahead of the bound in server time (K1) that was made for the same moment.
 */
class SystemTimer {
  readonly #callback: () => void;
  readonly #dueMs: number;
  readonly #weak: boolean;
  #timeout: NodeJS.Timeout;

  constructor(callback: () => void, delayMs: number, weak: boolean) {
    this.#callback = callback;
    this.#dueMs = performance.now() + delayMs;
    this.#weak = weak;
    this.#timeout = this.#wait(delayMs);
  }

  clear(): void {
    clearTimeout(this.#timeout);
  }

  #wait(delayMs: number): NodeJS.Timeout {
    const timeout = setTimeout(() => this.#fire(), Math.min(Math.ceil(Math.max(delayMs, 0)), timeoutMaxMs));
    return this.#weak ? timeout.unref() : timeout;
  }

  #fire(): void {
    const leftMs = this.#dueMs - performance.now();
    if (leftMs > 0) this.#timeout = this.#wait(leftMs);
    else this.#callback();
  }
}

/** The clock of this process. */
export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  setTimer: (callback, delayMs, weak = false) => ({ timer: new SystemTimer(callback, delayMs, weak) }),
  clearTimer: (handle) => (handle.timer as SystemTimer).clear(),
};

/** A moment by both local clocks, taken before a request is sent, from which a lease counts. */
export interface Instant {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

/** Reads both local clocks. */
export function now(clock: Clock): Instant {
  return { monotonicMs: clock.monotonicMs(), wallMs: clock.wallMs() };
}

/**
 * Milliseconds from one moment to another: the larger of what the two clocks say, so that neither a suspended machine nor a clock set back
 * makes a lease look younger than it is. A wall clock that is set forward ends leases too early, which is the safe side.
 */
export function msBetween(since: Instant, at: Instant): number {
  return Math.max(at.monotonicMs - since.monotonicMs, at.wallMs - since.wallMs);
}

/** Milliseconds since a moment, by both clocks. */
export function elapsedMs(clock: Clock, since: Instant): number {
  return msBetween(since, now(clock));
}

/**
 * Resolves after a delay, or rejects with the signal's reason as soon as it aborts; leaves no listener and no timer behind.
 * @param delayMs milliseconds
 */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason as Error);
      return;
    }
    const onAbort = (): void => {
      clock.clearTimer(handle);
      reject(signal?.reason as Error);
    };
    const handle = clock.setTimer(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, delayMs);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
