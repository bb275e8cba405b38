/**
 * Why a scope or a fork did not succeed. Each cause of a cancellation is a class of its own (S3): the signal's reason, and what the
 * fork's promise rejects with, tells a timeout from a failed sibling, from the caller, from a shutdown.
 */
import { HoldfastError } from "@holdfast/core";
import type { Effect } from "@holdfast/core";

/** The deadline of a scope or of a fork has passed. */
export class ScopeTimeoutError extends HoldfastError {
  override readonly name = "ScopeTimeoutError";
  readonly code = "SCOPE_TIMEOUT";
  /** `"none"` when it had passed before anything was started. */
  readonly effect: Effect;
  /** Whose deadline: `checkout`, or `checkout/cart` for a fork with its own. */
  readonly scope: string;
  /** The time it was given, in milliseconds. */
  readonly timeoutMs: number;
  /** How much later than the deadline this was noticed: more than a few milliseconds mean that the event loop was blocked. */
  readonly lateByMs: number;

  constructor(scope: string, timeoutMs: number, lateByMs: number, effect: Effect = "possible") {
    const late = lateByMs >= 20 ? `; noticed ${Math.round(lateByMs)} ms late, the event loop was blocked` : "";
    const message =
      effect === "none"
        ? "the deadline had passed before it began"
        : `not done within ${Math.round(timeoutMs)} ms${late}`;
    super(`scope ${scope}: ${message}`);
    this.scope = scope;
    this.timeoutMs = timeoutMs;
    this.lateByMs = lateByMs;
    this.effect = effect;
  }
}

/** Cancelled since another fork, or the scope's own function, has failed. */
export class SiblingFailedError extends HoldfastError {
  override readonly name = "SiblingFailedError";
  readonly code = "SCOPE_SIBLING_FAILED";
  readonly effect = "possible";
  readonly scope: string;
  /** The fork that failed, or null when it was the scope's own function. */
  readonly sibling: string | null;

  constructor(scope: string, sibling: string | null, cause: unknown) {
    super(`scope ${scope}: cancelled, since ${sibling ?? "its function"} failed`, { cause });
    this.scope = scope;
    this.sibling = sibling;
  }
}

/** Cancelled since another fork has won. */
export class SiblingWonError extends HoldfastError {
  override readonly name = "SiblingWonError";
  readonly code = "SCOPE_SIBLING_WON";
  readonly effect = "possible";
  readonly scope: string;
  readonly sibling: string;

  constructor(scope: string, sibling: string) {
    super(`scope ${scope}: cancelled, since ${sibling} was first`);
    this.scope = scope;
    this.sibling = sibling;
  }
}

/** Cancelled by the signal that the caller gave; its reason is the cause. */
export class CallerCancelledError extends HoldfastError {
  override readonly name = "CallerCancelledError";
  readonly code = "SCOPE_CALLER_CANCELLED";
  readonly effect: Effect;
  readonly scope: string;

  constructor(scope: string, cause: unknown, effect: Effect) {
    super(`scope ${scope}: cancelled by its caller`, { cause });
    this.scope = scope;
    this.effect = effect;
  }
}

/** Cancelled since the scope was closed. */
export class ScopeShutdownError extends HoldfastError {
  override readonly name = "ScopeShutdownError";
  readonly code = "SCOPE_SHUTDOWN";
  readonly effect = "possible";
  readonly scope: string;

  constructor(scope: string) {
    super(`scope ${scope}: cancelled, since it was closed`);
    this.scope = scope;
  }
}

/** What a cancelled fork's signal and promise carry. */
export type CancelReason =
  | ScopeTimeoutError
  | SiblingFailedError
  | SiblingWonError
  | CallerCancelledError
  | ScopeShutdownError;

/** A fork of a scope that has returned already: its work could outlive everything that waits for it. */
export class ScopeEndedError extends HoldfastError {
  override readonly name = "ScopeEndedError";
  readonly code = "SCOPE_ENDED";
  readonly effect = "none";
  readonly scope: string;

  constructor(scope: string, fork: string) {
    super(
      `scope ${scope} has ended; ${fork} was not started: fork before the scope's function returns, or open a scope of its own`,
    );
    this.scope = scope;
  }
}

/** None of the alternatives succeeded. */
export class NoSuccessError extends HoldfastError {
  override readonly name = "NoSuccessError";
  readonly code = "SCOPE_NO_SUCCESS";
  readonly effect = "possible";
  readonly scope: string;
  /** What each alternative failed with. */
  readonly errors: Readonly<Record<string, unknown>>;

  constructor(scope: string, errors: Readonly<Record<string, unknown>>) {
    super(`scope ${scope}: none of ${Object.keys(errors).join(", ")} succeeded`, { cause: Object.values(errors)[0] });
    this.scope = scope;
    this.errors = errors;
  }
}
