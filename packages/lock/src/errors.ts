/** What can go wrong with a lock: not had in time, or had and lost. */
import { HoldfastError } from "@holdfast/core";
import type { Effect, LeaseEnd } from "@holdfast/core";

/**
 * The lock was not had within the wait. `effect` is `"possible"` when a request was under way: what it may still get is given back in the
 * background, and ends with its ttl at the latest.
 */
export class LockTimeoutError extends HoldfastError {
  override readonly name = "LockTimeoutError";
  readonly code = "LOCK_TIMEOUT";
  readonly effect: Effect;
  readonly resource: string;
  /** How long it was waited for in milliseconds. */
  readonly waitedMs: number;

  constructor(resource: string, waitedMs: number, effect: Effect, options?: ErrorOptions & { readonly why?: string }) {
    const why = options?.why ?? "another owner holds it; wait longer, or do the work later";
    super(`${resource}: not acquired within ${Math.round(waitedMs)} ms: ${why}`, options);
    this.resource = resource;
    this.waitedMs = waitedMs;
    this.effect = effect;
  }
}

const reasons: Readonly<Record<LeaseEnd, string>> = {
  expired: "its ttl ran out before a renewal succeeded, as after a pause, a blocked event loop or without Redis",
  lost: "Redis does not know the lease any more: it was forced open, expired by the server's clock, or its key is gone",
  "hold-max": "it was held for holdMaxMs",
  cancelled: "it was cancelled",
  released: "it was released before",
  closed: "its FencedLock was closed",
};

/**
 * The lock is not held any more. Another owner may work on the resource; what was written with a stale token was refused, if the resource
 * checks tokens.
 */
export class LockLostError extends HoldfastError {
  override readonly name = "LockLostError";
  readonly code = "LOCK_LOST";
  readonly effect = "possible";
  readonly resource: string;
  readonly token: number;
  readonly reason: LeaseEnd;
  /** What the body of `withLock` returned, when it ended after the loss. */
  readonly value: unknown;

  constructor(resource: string, token: number, reason: LeaseEnd, value?: unknown) {
    super(
      `${resource}: the lock is not held any more (token ${token}): ${reasons[reason]}; stop, and write nothing further`,
    );
    this.resource = resource;
    this.token = token;
    this.reason = reason;
    this.value = value;
  }
}
