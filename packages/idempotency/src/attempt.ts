/** An attempt as its handler sees it: who it is, whether it still holds its key, and what must not be stored. */
import { oneOf } from "@holdfast/core";
import type { Effect, Fenced, RenewedLease } from "@holdfast/core";
import type { KeyPlace } from "./keys.ts";

/** One execution under an idempotency key. */
export interface Attempt extends Fenced {
  readonly key: string;
  readonly tenant: string | undefined;
  /** The same in every attempt of this key and for ever: hand it to whoever acts for you, so that they recognise a repetition. */
  readonly downstreamKey: string;
  /** 1 for the first attempt of the key. */
  readonly number: number;
  /** True whenever an earlier attempt started and it is not proven that it had no effect: look before you act (I8). */
  readonly recovered: boolean;
  /** Aborts with an AttemptLostError when the attempt no longer holds its key (I5). */
  readonly signal: AbortSignal;
  /** False when the store was unreachable and the handler runs without protection (`whenUnreachable: "open"`). */
  readonly guarded: boolean;
  /** Milliseconds until the attempt loses its key unless it is renewed; 0 once it is lost. */
  remainingMs(): number;
  /** Throws AttemptLostError once the attempt no longer holds its key. Asks the clock, hence is right after a pause, too. */
  assertHeld(): void;
  /**
   * Says that what the handler returns must not be stored: the next call runs again.
   * @param effect `"none"` when this attempt has provably had none; then the key takes another payload, too
   * @throws TypeError for anything else than `"none"` and `"possible"`
   */
  skipStoring(effect: Effect): void;
}

/** What the two kinds of attempt share. */
abstract class NamedAttempt {
  readonly resource: string;
  readonly key: string;
  readonly tenant: string | undefined;
  readonly #downstreamKey: () => string;
  #skipped: Effect | undefined;

  constructor(place: KeyPlace, downstreamKey: () => string) {
    this.resource = place.resource;
    this.key = place.key;
    this.tenant = place.tenant;
    this.#downstreamKey = downstreamKey;
  }

  get downstreamKey(): string {
    return this.#downstreamKey();
  }

  /** The effect that came with `skipStoring`, or undefined. */
  get skipped(): Effect | undefined {
    return this.#skipped;
  }

  skipStoring(effect: Effect): void {
    this.#skipped = oneOf("effect", effect, ["none", "possible"]);
  }
}

/** What a lease carries. */
export interface LeaseData {
  readonly place: KeyPlace;
  readonly owner: string;
}

/** What the server granted. */
export interface GrantedNumbers {
  readonly number: number;
  readonly recovered: boolean;
}

/** An attempt that holds its key. */
export class LeasedAttempt extends NamedAttempt implements Attempt {
  readonly number: number;
  readonly recovered: boolean;
  readonly guarded = true;
  readonly lease: RenewedLease<LeaseData>;

  constructor(lease: RenewedLease<LeaseData>, granted: GrantedNumbers, downstreamKey: () => string) {
    super(lease.data.place, downstreamKey);
    this.lease = lease;
    this.number = granted.number;
    this.recovered = granted.recovered;
  }

  get token(): number {
    return this.lease.token;
  }

  get signal(): AbortSignal {
    return this.lease.signal;
  }

  remainingMs(): number {
    return this.lease.remainingMs();
  }

  assertHeld(): void {
    this.lease.assertHeld();
  }
}

/**
 * An attempt without a store: nothing is known of earlier ones, so they may have had an effect, and its token is 0, which every fence
 * refuses.
 */
export class UnguardedAttempt extends NamedAttempt implements Attempt {
  readonly number = 1;
  readonly recovered = true;
  readonly guarded = false;
  readonly token = 0;
  readonly signal: AbortSignal = new AbortController().signal;

  remainingMs(): number {
    return Infinity;
  }

  assertHeld(): void {
    // It never held anything, which `guarded` says.
  }
}
