/**
 * Time that stands still until a test moves it. Shaped like the clock of `@holdfast/core`, without importing it.
 */

/** An armed timer, opaque to everybody but the clock that made it. */
export interface ManualTimerHandle {
  readonly timer: unknown;
}

/** Where a {@link ManualClock} starts. */
export interface ManualClockOptions {
  /** Default 2030-01-01T00:00:00Z. */
  readonly wallMs?: number;
  /** Default 0. */
  readonly monotonicMs?: number;
}

interface Timer {
  readonly dueMs: number;
  readonly order: number;
  readonly callback: () => void;
}

/** A clock for logic without sockets: a real server's answer takes real time, which this clock does not pass. */
export class ManualClock {
  readonly #timers = new Set<Timer>();
  #nowMs: number;
  #wallOffsetMs: number;
  #armed = 0;

  constructor(options: ManualClockOptions = {}) {
    const { wallMs = Date.UTC(2030, 0, 1), monotonicMs = 0 } = options;
    this.#nowMs = monotonicMs;
    this.#wallOffsetMs = wallMs - monotonicMs;
  }

  /** Milliseconds that never go back. */
  monotonicMs(): number {
    return this.#nowMs;
  }

  /** Epoch milliseconds. */
  wallMs(): number {
    return this.#nowMs + this.#wallOffsetMs;
  }

  /** Calls back once when the clock has been advanced by `delayMs`; at the next advance when that is 0 or below. */
  setTimer(callback: () => void, delayMs: number): ManualTimerHandle {
    if (Number.isNaN(delayMs)) throw new RangeError(`delayMs must be a number, got ${delayMs}.`);
    this.#armed += 1;
    const timer: Timer = { dueMs: this.#nowMs + Math.max(delayMs, 0), order: this.#armed, callback };
    this.#timers.add(timer);
    return { timer };
  }

  /** Disarms a timer; one that has fired is ignored. */
  clearTimer(handle: ManualTimerHandle): void {
    for (const timer of this.#timers) if (timer === handle.timer) this.#timers.delete(timer);
  }

  /** How many timers are armed: 0 at the end of a test that leaves nothing behind. */
  get pendingTimers(): number {
    return this.#timers.size;
  }

  /**
   * Moves time forward. Timers that become due fire in order, each at its own time; before the first and after each, every promise
   * that can settle without the outside world has settled, so that a timer armed by the reaction to another one fires in its turn.
   *
   * @param ms milliseconds, 0 or more.
   * @throws RangeError when `ms` is negative or no number. An error thrown by a timer's callback ends the advance and comes out here.
   */
  async advance(ms: number): Promise<void> {
    if (!(ms >= 0)) throw new RangeError(`A clock is advanced by 0 ms or more, got ${ms}.`);
    const targetMs = this.#nowMs + ms;
    await settle();
    for (let timer = this.#next(targetMs); timer !== undefined; timer = this.#next(targetMs)) {
      this.#timers.delete(timer);
      this.#nowMs = Math.max(this.#nowMs, timer.dueMs);
      timer.callback();
      await settle();
    }
    this.#nowMs = Math.max(this.#nowMs, targetMs);
  }

  /**
   * Steps the wall clock alone, as an administrator or NTP does. No timer notices.
   *
   * @param ms milliseconds, negative for a step back.
   */
  stepWall(ms: number): void {
    this.#wallOffsetMs += ms;
  }

  #next(targetMs: number): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.dueMs > targetMs) continue;
      if (
        first === undefined ||
        timer.dueMs < first.dueMs ||
        (timer.dueMs === first.dueMs && timer.order < first.order)
      ) {
        first = timer;
      }
    }
    return first;
  }
}

/** A turn of the event loop runs every microtask there is, and those that they make. */
async function settle(): Promise<void> {
  await new Promise<void>((resolve) => {
    setImmediate(resolve);
  });
}
