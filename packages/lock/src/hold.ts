/**
 * The client's handle on a lease. The local deadline, the signal and the renewal belong to core's RenewedLease; this adds giving back.
 *
 * The margin: a lease counts from the moment before the request that won or renewed it was sent, and ends for its holder 1 % of its length
 * and 2 ms early (30 s: 302 ms). The server began to count no earlier, so the holder has stopped before anybody else is granted the lock
 * as long as the two clocks drift apart by less than 1 %.
 */
import type { Fenced, RenewedLease } from "@holdfast/core";
import { LockLostError } from "./errors.ts";

/** What became of a release. */
export interface ReleaseResult {
  /** `lost` when the lease had ended before, for whatever reason. */
  readonly kind: "released" | "lost";
}

/** The local side of a lease, as core's RenewedLease has it. */
export type LocalLease = Pick<
  RenewedLease<unknown>,
  "resource" | "token" | "ended" | "signal" | "remainingMs" | "assertHeld" | "renew" | "end"
>;

/** What a hold knows beside its lease. */
export interface HoldFacts {
  readonly owner: string;
  readonly holdMaxMs: number;
}

/** Tells the server that the lease is given back, which would have been held for another `leftMs`. */
export type GiveBackLease = (leftMs: number) => Promise<"released" | "lost">;

/** A lock that is held. */
export class Hold implements Fenced, AsyncDisposable {
  /** What the token belongs to: `lock:invoice:42`. */
  readonly resource: string;
  /** Fixed at the grant; higher than that of every earlier one (L1). */
  readonly token: number;
  /** The id of this acquire. */
  readonly owner: string;
  /** The longest this hold can last in milliseconds; guards that forget earlier refuse it. */
  readonly holdMaxMs: number;
  readonly #lease: LocalLease;
  readonly #giveBack: GiveBackLease;
  #lostBefore: boolean | undefined;
  #release: Promise<ReleaseResult> | undefined;

  /**
   * Made by a lock.
   * @param giveBack tells the server; the lease has ended locally by then
   */
  constructor(lease: LocalLease, { owner, holdMaxMs }: HoldFacts, giveBack: GiveBackLease) {
    this.resource = lease.resource;
    this.token = lease.token;
    this.owner = owner;
    this.holdMaxMs = holdMaxMs;
    this.#lease = lease;
    this.#giveBack = giveBack;
  }

  /** Aborts with a LockLostError no later than the local deadline, whether or not Redis answers (L4); on release too. */
  get signal(): AbortSignal {
    return this.#lease.signal;
  }

  /** Milliseconds until the local deadline; 0 when the lock is not held any more. Right even if no timer has run since. */
  remainingMs(): number {
    return this.#lease.remainingMs();
  }

  /**
   * Checks by the clock, synchronously: for the moment right before an effect.
   * @throws LockLostError when the lock is not held any more
   */
  assertHeld(): void {
    this.#lease.assertHeld();
  }

  /**
   * Renews now, beside the renewals in the background.
   * @throws LockLostError when it is lost; RedisUnavailableError, OutcomeUnknownError when the answer is not known: it may still be held
   */
  async renew(): Promise<void> {
    if (!(await this.#lease.renew())) this.#lease.assertHeld();
  }

  /**
   * Gives the lock back. A second call answers as the first.
   * @returns `lost` when the lease had ended before; that is no error here, `withLock` makes it one
   * @throws RedisUnavailableError, OutcomeUnknownError when the answer is not known: it is tried again in the background until the lease
   *   has ended by itself
   */
  release(): Promise<ReleaseResult> {
    this.#release ??= this.#releaseOnce();
    return this.#release;
  }

  /** Why the lock is not held any more, or undefined while it is. */
  get lost(): LockLostError | undefined {
    if (this.#lease.remainingMs() > 0) return undefined;
    return new LockLostError(this.resource, this.token, this.#lease.ended ?? "expired");
  }

  /** Releases; what goes wrong is left to the background. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.release().catch(() => undefined);
  }

  async #releaseOnce(): Promise<ReleaseResult> {
    const leftMs = this.#lease.remainingMs();
    this.#lostBefore ??= leftMs === 0;
    if (this.#lostBefore) {
      // Who was told that it is lost does not wait for Redis, which may be the reason; the server may still keep others out.
      this.#giveBack(0).catch(() => undefined);
      return { kind: "lost" };
    }
    this.#lease.end("released");
    try {
      return { kind: await this.#giveBack(leftMs) };
    } catch (error) {
      // The next call asks again.
      this.#release = undefined;
      throw error;
    }
  }
}
