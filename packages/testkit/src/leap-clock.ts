/**
 * The clock of this process, which a test moves forward in leaps: leases end and polls come due without being waited for, beside real
 * sockets, whose answers take real time. Shaped like the clock of `@holdfast/core`, without importing it.
 */
import type { ManualTimerHandle } from "./manual-clock.ts";

interface Timer {
  readonly callback: () => void;
  readonly dueMs: number;
  readonly weak: boolean;
  running: NodeJS.Timeout;
}

/** A clock that runs like the system's between two leaps. It moves no server's clock: `ClockSkew` does. */
export class LeapClock {
  readonly #timers = new Set<Timer>();
  #leaptMs = 0;

  /** Milliseconds that never go back. */
  monotonicMs(): number {
    return performance.now() + this.#leaptMs;
  }

  /** Epoch milliseconds. */
  wallMs(): number {
    return Date.now() + this.#leaptMs;
  }

  /**
   * Calls back once, when the delay has passed by `monotonicMs` or a leap has passed it.
   *
   * @param weak true when the timer alone is no reason to keep the process alive.
   */
  setTimer(callback: () => void, delayMs: number, weak = false): ManualTimerHandle {
    const timer: Timer = {
      callback,
      dueMs: this.monotonicMs() + Math.max(delayMs, 0),
      weak,
      running: this.#arm(delayMs, weak, () => this.#fire(timer)),
    };
    this.#timers.add(timer);
    return { timer };
  }

  /** Disarms a timer; one that has fired is ignored. */
  clearTimer(handle: ManualTimerHandle): void {
    for (const timer of this.#timers) if (timer === handle.timer) this.#disarm(timer);
  }

  /**
   * Moves time forward at once, as when the machine was suspended: no timer has run yet when this returns, and those that have come due
   * fire soon after, in order.
   *
   * @param ms milliseconds, 0 or more.
   */
  leap(ms: number): void {
    if (!(ms >= 0)) throw new RangeError(`A clock leaps by 0 ms or more, got ${ms}.`);
    this.#leaptMs += ms;
    const nowMs = this.monotonicMs();
    for (const timer of [...this.#timers].toSorted((left, right) => left.dueMs - right.dueMs)) {
      clearTimeout(timer.running);
      timer.running = this.#arm(timer.dueMs - nowMs, timer.weak, () => this.#fire(timer));
    }
  }

  #arm(delayMs: number, weak: boolean, callback: () => void): NodeJS.Timeout {
    const timer = setTimeout(callback, Math.ceil(Math.max(delayMs, 0)));
    return weak ? timer.unref() : timer;
  }

  #disarm(timer: Timer): void {
    clearTimeout(timer.running);
    this.#timers.delete(timer);
  }

  #fire(timer: Timer): void {
    const leftMs = timer.dueMs - this.monotonicMs();
    // Node counts in whole milliseconds from the one that has begun, so it may fire nearly one early.
    if (leftMs > 0) {
      timer.running = this.#arm(leftMs, timer.weak, () => this.#fire(timer));
      return;
    }
    this.#timers.delete(timer);
    timer.callback();
  }
}
