/**
 * When a lease was first given back, and how much of it was left then: within that time, `lost` is the answer to a repeat of a request that
 * has given it back, whoever has it by now (K1).
 */
import { elapsedMs, now } from "@holdfast/core";
import type { Clock, Instant } from "@holdfast/core";

/** The returns of one hold. */
export class FirstReturn {
  readonly #clock: Clock;
  #first: { readonly askedAt: Instant; readonly leftMs: number } | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * It is given back.
   * @param leftMs how much of the lease is left, in milliseconds
   * @returns whether it was before
   */
  begin(leftMs: number): boolean {
    if (this.#first !== undefined) return true;
    this.#first = { askedAt: now(this.#clock), leftMs };
    return false;
  }

  /** Whether the lease would still stand, had nobody given it back. */
  get inTime(): boolean {
    return this.#first !== undefined && elapsedMs(this.#clock, this.#first.askedAt) < this.#first.leftMs;
  }
}
