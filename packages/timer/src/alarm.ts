/**
 * When a worker looks at a shard again: at the next deadline that it knows of, when a hint names an earlier one, and in any case within
 * `pollMs`, so that nothing depends on hints (T8).
 */
import type { Clock, TimerHandle } from "@holdfast/core";

/** One shard's alarm. Rings once for each time that it is set. */
export class Alarm {
  readonly #clock: Clock;
  readonly #pollMs: number;
  readonly #ring: () => void;
  #timer: TimerHandle | undefined;
  #atMs = Infinity;
  #hintedMs = Infinity;
  /** Server time in ms minus monotonic time, by the last answer. */
  #offsetMs: number | undefined;

  /**
   * @param pollMs the longest sleep, in milliseconds
   * @param ring time to look
   */
  constructor(clock: Clock, pollMs: number, ring: () => void) {
    this.#clock = clock;
    this.#pollMs = pollMs;
    this.#ring = ring;
  }

  /** An answer brought the server's time, in microseconds. */
  observe(nowUs: number): void {
    if (nowUs > 0) this.#offsetMs = nowUs / 1_000 - this.#clock.monotonicMs();
  }

  /** Somebody says that a timer is due at a time in the server's milliseconds, or that it is time to look. */
  hint(text: string | null): void {
    const dueMs = text === null ? Number.NaN : Number(text);
    if (!Number.isFinite(dueMs) || this.#offsetMs === undefined) {
      this.#ring();
      return;
    }
    this.#hintedMs = Math.min(this.#hintedMs, dueMs);
    this.#setAt(dueMs - this.#offsetMs);
  }

  /** Sleeps until the earliest deadline known, at most `pollMs`; in microseconds of the server's clock, undefined when there is none. */
  sleepUntil(nextUs: number | undefined): void {
    if (this.#offsetMs === undefined) return;
    const nextMs = Math.min(nextUs === undefined ? Infinity : nextUs / 1_000, this.#hintedMs);
    this.#setAt(Math.min(nextMs - this.#offsetMs, this.#clock.monotonicMs() + this.#pollMs));
  }

  /** Rings in so many milliseconds, or earlier. */
  ringIn(delayMs: number): void {
    this.#setAt(this.#clock.monotonicMs() + delayMs);
  }

  /** A look is on its way: it will see what was hinted so far. */
  reset(): void {
    this.#hintedMs = Infinity;
    this.disarm();
  }

  /** Does not ring, until it is set again. */
  disarm(): void {
    if (this.#timer !== undefined) this.#clock.clearTimer(this.#timer);
    this.#timer = undefined;
    this.#atMs = Infinity;
  }

  /** @param atMs monotonic milliseconds */
  #setAt(atMs: number): void {
    if (atMs >= this.#atMs) return;
    this.disarm();
    this.#atMs = atMs;
    this.#timer = this.#clock.setTimer(
      () => {
        this.disarm();
        this.#ring();
      },
      Math.ceil(atMs - this.#clock.monotonicMs()),
    );
  }
}
