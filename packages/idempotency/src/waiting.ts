/**
 * Duplicates that wait for a running attempt. All that wait for one key in this process ask as one: the first asks, and what it learns is
 * what the others hear, so that a hundred of them cost one execution and one question. They are woken by a hint, and look by themselves
 * when hints are lost.
 */
import { deadlineListOf } from "@holdfast/core";
import type { Clock, DeadlineEntry, WakeUps, WakeUpSubscription } from "@holdfast/core";
import type { KeyPlace } from "./keys.ts";
import type { ClaimReply } from "./scripts.ts";

/** An outcome as it is stored. */
export type StoredOutcome = Extract<ClaimReply, { readonly kind: "stored" }>;

/** With every hint lost, an outcome is noticed this much later at most; a process asks about each key at most this often. */
const pollMs = 250;

/** One duplicate that waits. */
export class Waiter {
  readonly fingerprint: string;
  readonly #watch: KeyWatch;
  #wake: ((learned: StoredOutcome | undefined) => void) | undefined;
  #fail: ((error: unknown) => void) | undefined;

  constructor(watch: KeyWatch, fingerprint: string) {
    this.#watch = watch;
    this.fingerprint = fingerprint;
  }

  /**
   * Resolves to the outcome when somebody else has learned it, to undefined when it is this waiter's turn to ask, or its time is over.
   * @param waitMs milliseconds
   */
  async wait(clock: Clock, waitMs: number, signal: AbortSignal | undefined): Promise<StoredOutcome | undefined> {
    signal?.throwIfAborted();
    // It was asking when the instance was closed.
    if (this.#watch.closedBy !== undefined) throw this.#watch.closedBy;
    const onAbort = (): void => this.#fail?.(signal?.reason);
    const timer = clock.setTimer(() => this.wake(undefined), waitMs);
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      return await new Promise((resolve, reject) => {
        this.#wake = resolve;
        this.#fail = reject;
        this.#watch.rest(this);
      });
    } finally {
      clock.clearTimer(timer);
      signal?.removeEventListener("abort", onAbort);
      this.#wake = undefined;
      this.#fail = undefined;
    }
  }

  /** True while it waits. */
  get resting(): boolean {
    return this.#wake !== undefined;
  }

  wake(learned: StoredOutcome | undefined): void {
    this.#wake?.(learned);
    this.#wake = undefined;
  }

  fail(error: unknown): void {
    this.#fail?.(error);
  }

  /** Gives its place up; another one asks if this one was to. */
  leave(): void {
    this.#watch.leave(this);
  }
}

/** Those who wait for one key. */
class KeyWatch {
  readonly waiters: Set<Waiter> = new Set();
  /** Why nobody may wait any more. */
  closedBy: Error | undefined;
  readonly #clock: Clock;
  readonly #onEmpty: () => void;
  readonly #subscription: WakeUpSubscription;
  #asking: Waiter | undefined;
  #askAgain = false;
  #poll: DeadlineEntry | undefined;

  constructor(place: KeyPlace, wakeUps: WakeUps, clock: Clock, onEmpty: () => void) {
    this.#clock = clock;
    this.#onEmpty = onEmpty;
    this.#subscription = wakeUps.listen(place.record, () => this.ask());
    this.#armPoll();
  }

  /** Lets one waiter ask, or whoever is asking once more. */
  ask(): void {
    if (this.#asking !== undefined) {
      this.#askAgain = true;
      return;
    }
    for (const waiter of this.waiters) {
      if (!waiter.resting) continue;
      this.#asking = waiter;
      waiter.wake(undefined);
      return;
    }
  }

  /** A waiter has asked, or has just come, and waits now. */
  rest(waiter: Waiter): void {
    if (this.#asking !== waiter) return;
    this.#asking = undefined;
    this.#next();
  }

  leave(waiter: Waiter): void {
    this.waiters.delete(waiter);
    if (this.waiters.size === 0) {
      this.#poll?.cancel();
      this.#subscription.close();
      this.#onEmpty();
    } else if (this.#asking === waiter) {
      this.#asking = undefined;
      this.#next();
    }
  }

  #next(): void {
    if (!this.#askAgain) return;
    this.#askAgain = false;
    this.ask();
  }

  #armPoll(): void {
    this.#poll = deadlineListOf(this.#clock, pollMs).add(() => {
      this.ask();
      this.#armPoll();
    });
  }
}

/** All that wait in one instance. */
export class Waiting {
  readonly #wakeUps: WakeUps;
  readonly #clock: Clock;
  readonly #watches = new Map<string, KeyWatch>();
  #closedBy: Error | undefined;

  constructor(wakeUps: WakeUps, clock: Clock) {
    this.#wakeUps = wakeUps;
    this.#clock = clock;
  }

  /** Joins those who wait for a key. Call `leave` in the end. */
  join(place: KeyPlace, fingerprint: string): Waiter {
    if (this.#closedBy !== undefined) throw this.#closedBy;
    const { resource } = place;
    let watch = this.#watches.get(resource);
    if (watch === undefined) {
      watch = new KeyWatch(place, this.#wakeUps, this.#clock, () => this.#watches.delete(resource));
      this.#watches.set(resource, watch);
    }
    const waiter = new Waiter(watch, fingerprint);
    watch.waiters.add(waiter);
    return waiter;
  }

  /** Whether anybody waits for a key. */
  hasWaiters({ resource }: KeyPlace): boolean {
    return this.#watches.size > 0 && this.#watches.has(resource);
  }

  /** Tells all who wait for a key its outcome; those who came with another payload ask themselves. */
  tell({ resource }: KeyPlace, fingerprint: string, outcome: StoredOutcome): void {
    const watch = this.#watches.get(resource);
    if (watch === undefined) return;
    for (const waiter of watch.waiters) {
      waiter.wake(waiter.fingerprint === fingerprint ? outcome : undefined);
    }
  }

  /** Lets one of those who wait for a key ask again: its attempt has ended without an outcome. */
  ask({ resource }: KeyPlace): void {
    this.#watches.get(resource)?.ask();
  }

  /** Ends all waiting with an error. */
  close(error: Error): void {
    this.#closedBy = error;
    for (const watch of this.#watches.values()) {
      watch.closedBy = error;
      for (const waiter of watch.waiters) waiter.fail(error);
    }
  }
}
