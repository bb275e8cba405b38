/**
 * When a process talks to Redis about its permits: one request at a time, at most one per turn of the event loop, again after each failure
 * with a growing pause, and by itself every so often, since hints may be lost.
 */
import { backoffMs, resolveBackoff, withoutAmbientDeadline } from "@holdfast/core";
import type { Backoff, Clock, Random, TimerHandle } from "@holdfast/core";

/** How a pace is kept. */
export interface ExchangePaceSettings {
  readonly clock: Clock;
  readonly random: Random;
  readonly pollMs: number;
  /** Talks to Redis now. Never rejects. */
  readonly exchange: () => Promise<void>;
  /** Whether there is a reason to look without a hint. */
  readonly worthLooking: () => boolean;
}

/** The pace of one process. */
export class ExchangePace {
  readonly #settings: ExchangePaceSettings;
  readonly #backoff: Backoff;
  #scheduled = false;
  #again = false;
  #talking = false;
  #failures = 0;
  #poll: TimerHandle | undefined;
  #closed = false;

  constructor(settings: ExchangePaceSettings) {
    this.#settings = settings;
    this.#backoff = resolveBackoff({ baseMs: 50, delayMaxMs: 1_000 });
  }

  /** Failures since the last answer. */
  get failures(): number {
    return this.#failures;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Talks in this turn, or right after the request that is on its way. */
  soon(): void {
    if (this.#closed) return;
    if (this.#talking) {
      this.#again = true;
      return;
    }
    if (this.#scheduled) return;
    this.#scheduled = true;
    withoutAmbientDeadline(() =>
      process.nextTick(() => {
        this.#scheduled = false;
        if (!this.#closed) void this.#settings.exchange();
      }),
    );
  }

  /** A request is on its way. */
  began(): void {
    this.#talking = true;
  }

  /** It has ended, one way or the other. */
  ended(): void {
    this.#talking = false;
    if (!this.#again) return;
    this.#again = false;
    this.soon();
  }

  /** Redis has answered. */
  answered(): void {
    this.#failures = 0;
    this.#armPoll();
  }

  /** Redis has not answered. */
  failed(): void {
    this.#failures += 1;
    this.#armPoll();
  }

  /** Never talks again. */
  close(): void {
    this.#closed = true;
    this.#clearPoll();
  }

  #clearPoll(): void {
    if (this.#poll !== undefined) this.#settings.clock.clearTimer(this.#poll);
    this.#poll = undefined;
  }

  #armPoll(): void {
    this.#clearPoll();
    if (this.#closed) return;
    const { clock, pollMs, random } = this.#settings;
    const delayMs = this.#failures === 0 ? pollMs : backoffMs(this.#backoff, this.#failures, random);
    this.#poll = withoutAmbientDeadline(() => clock.setTimer(() => this.#look(), delayMs, true));
  }

  #look(): void {
    this.#poll = undefined;
    if (this.#failures > 0 || this.#settings.worthLooking()) this.soon();
    else this.#armPoll();
  }
}
