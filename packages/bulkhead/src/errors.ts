/**
 * Failures of a bulkhead's own making. Rejections are made by the thousand exactly when there is no time for it, so they carry no stack:
 * it would always be the same one, and capturing it costs ten times the rest.
 */
import { HoldfastError, wordsOf } from "@holdfast/core";
import type { Effect } from "@holdfast/core";
import type { Outcome } from "./outcome.ts";

/** Why a call was not dispatched. */
export type RejectionReason = Extract<Outcome, "queue-timeout" | `rejected-${string}`>;

const advice: Readonly<Record<RejectionReason, string>> = {
  "queue-timeout": "no permit came free in time",
  "rejected-full": "the queue is full",
  "rejected-deadline": "it could not finish before its deadline",
  "rejected-open": "the circuit breaker is open",
};

/** The call was not dispatched: the dependency has not seen it. */
export class BulkheadRejectedError extends HoldfastError {
  override readonly name = "BulkheadRejectedError";
  readonly code = "BULKHEAD_REJECTED";
  readonly effect = "none";
  readonly bulkhead: string;
  readonly reason: RejectionReason;

  constructor(bulkhead: string, reason: RejectionReason, options?: ErrorOptions) {
    super(`bulkhead ${bulkhead}: not dispatched, ${advice[reason]}`, options);
    this.bulkhead = bulkhead;
    this.reason = reason;
  }
}

/** The call was dispatched and has not answered in time. Its work goes on until it settles, and keeps its permit. */
export class CallTimeoutError extends HoldfastError {
  override readonly name = "CallTimeoutError";
  readonly code = "BULKHEAD_CALL_TIMEOUT";
  readonly effect = "possible";
  readonly bulkhead: string;
  /** The time the call had in all, in milliseconds. */
  readonly timeoutMs: number;
  /** How much of it was over when the call was dispatched: what is not the dependency's doing. */
  readonly dispatchedAfterMs: number;

  constructor(bulkhead: string, timeoutMs: number, dispatchedAfterMs: number) {
    super(
      `bulkhead ${bulkhead}: no answer within ${Math.round(timeoutMs)} ms, of which ${Math.round(dispatchedAfterMs)} ms were spent waiting for a permit`,
    );
    this.bulkhead = bulkhead;
    this.timeoutMs = timeoutMs;
    this.dispatchedAfterMs = dispatchedAfterMs;
  }
}

/** A call from inside a call of the same bulkhead would wait for a permit that its own caller holds. */
export class ReentrantCallError extends HoldfastError {
  override readonly name = "ReentrantCallError";
  readonly code = "BULKHEAD_REENTRANT";
  readonly effect = "none";
  readonly bulkhead: string;

  constructor(bulkhead: string) {
    super(
      `bulkhead ${bulkhead}: a call inside a call of the same bulkhead would wait for its own caller's permit; ` +
        "call the dependency directly there, or give the inner calls a bulkhead of their own",
    );
    this.bulkhead = bulkhead;
  }
}

/** The bulkhead was drained while the call was running or waiting. */
export class DrainedError extends HoldfastError {
  override readonly name = "DrainedError";
  readonly code = "BULKHEAD_DRAINED";
  readonly effect: Effect;
  readonly bulkhead: string;

  constructor(bulkhead: string, effect: Effect) {
    super(`bulkhead ${bulkhead}: cancelled, since it was drained`);
    this.bulkhead = bulkhead;
    this.effect = effect;
  }
}

/**
 * The last attempt of a call had no effect, it may not even have been dispatched; one before it may have had one. What that one ended with
 * is the cause.
 */
export class AttemptsFailedError extends HoldfastError {
  override readonly name = "AttemptsFailedError";
  readonly code = "BULKHEAD_ATTEMPTS_FAILED";
  readonly effect = "possible";
  readonly bulkhead: string;
  /** Attempts that were made, the last one included. */
  readonly attempts: number;
  /** What the last attempt ended with, for instance a BulkheadRejectedError. */
  readonly last: unknown;

  /** @param cause undefined when the earlier attempt ended with a value that was classified as a failure */
  constructor(bulkhead: string, attempts: number, last: unknown, cause: unknown) {
    super(`bulkhead ${bulkhead}: an earlier attempt may have had an effect, and the last failed: ${wordsOf(last)}`, {
      cause,
    });
    this.bulkhead = bulkhead;
    this.attempts = attempts;
    this.last = last;
  }
}

/** Makes an error without capturing a stack. */
export function withoutStack<Failure extends Error>(make: () => Failure): Failure {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return make();
  } finally {
    Error.stackTraceLimit = limit;
  }
}
