/** The drains that wait until nothing is inside any more, each no longer than its grace. */
import { deadlineListOf } from "@holdfast/core";
import type { Clock } from "@holdfast/core";

/** Those of one bulkhead. */
export class Drains {
  readonly #clock: Clock;
  readonly #isIdle: () => boolean;
  readonly #waiting = new Set<() => void>();

  constructor(clock: Clock, isIdle: () => boolean) {
    this.#clock = clock;
    this.#isIdle = isIdle;
  }

  /** Waits until nothing is inside, at most so long. */
  async idleWithin(graceMs: number): Promise<void> {
    if (this.#isIdle()) return;
    await new Promise<void>((resolve) => {
      const end = (): void => {
        entry.cancel();
        this.#waiting.delete(end);
        resolve();
      };
      const entry = deadlineListOf(this.#clock, graceMs).add(end);
      this.#waiting.add(end);
    });
  }

  /** Something has left. */
  look(): void {
    if (this.#waiting.size > 0 && this.#isIdle()) this.end();
  }

  /** Nobody waits any longer. */
  end(): void {
    for (const end of this.#waiting) end();
  }
}
