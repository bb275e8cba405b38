/** How long a stop waits for what still runs. Of several stops, the one counts whose grace is over first (T7). */
import type { Clock, TimerHandle } from "@holdfast/core";

/** The grace of one worker. */
export class Grace {
  readonly #clock: Clock;
  readonly #over = new AbortController();
  #endsAtMs = Infinity;
  #timer: TimerHandle | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Aborts when it is over. */
  get signal(): AbortSignal {
    return this.#over.signal;
  }

  /** Somebody waits for so many milliseconds and no longer. */
  shortenTo(graceMs: number): void {
    const endsAtMs = this.#clock.monotonicMs() + graceMs;
    if (endsAtMs >= this.#endsAtMs) return;
    this.#disarm();
    this.#endsAtMs = endsAtMs;
    this.#timer = this.#clock.setTimer(() => this.#over.abort(new Error("the grace is over")), graceMs);
  }

  /** Nobody waits any more. */
  end(): void {
    this.#endsAtMs = -Infinity;
    this.#disarm();
  }

  #disarm(): void {
    if (this.#timer !== undefined) this.#clock.clearTimer(this.#timer);
    this.#timer = undefined;
  }
}
