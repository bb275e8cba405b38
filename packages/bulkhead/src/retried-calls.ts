/**
 * Calls that may make more than one attempt. Between two attempts they hold no permit and stand in no queue, and are inside all the same:
 * a drain lets them end, and cancels them when its grace is over.
 */
import { onAbort, sleep } from "@holdfast/core";
import type { Clock } from "@holdfast/core";

/** Those of one bulkhead. */
export class RetriedCalls {
  readonly #clock: Clock;
  readonly #onLeft: () => void;
  readonly #pauses = new Set<AbortController>();
  #inside = 0;
  #over = false;

  /** @param onLeft called when one has ended */
  constructor(clock: Clock, onLeft: () => void) {
    this.#clock = clock;
    this.#onLeft = onLeft;
  }

  /** How many are inside. */
  get inside(): number {
    return this.#inside;
  }

  /** No further attempt is made. */
  get isOver(): boolean {
    return this.#over;
  }

  /** One begins its first attempt. */
  enter(): void {
    this.#inside += 1;
  }

  /** It has its answer. */
  leave(): void {
    this.#inside -= 1;
    this.#onLeft();
  }

  /** Waits before the next attempt; rejects with the reason of the signal, or with that of the end. */
  async pause(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    const pause = new AbortController();
    const registration = signal === undefined ? undefined : onAbort(signal, () => pause.abort(signal.reason));
    this.#pauses.add(pause);
    try {
      await sleep(this.#clock, delayMs, pause.signal);
    } finally {
      this.#pauses.delete(pause);
      registration?.cancel();
    }
  }

  /** Ends those that wait for their next attempt. Returns how many. */
  end(reason: Error): number {
    this.#over = true;
    const pauses = [...this.#pauses];
    for (const pause of pauses) pause.abort(reason);
    return pauses.length;
  }
}
