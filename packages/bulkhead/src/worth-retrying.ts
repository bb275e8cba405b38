/**
 * What is repeated when nobody says otherwise: what is known to have had no effect, and answers that a repetition cannot make worse. An
 * unknown outcome looks different with every client, so that a list of those would never be complete; this is a list of the others.
 */
import { ClosedError, httpStatusesOf, propertyOf, saysNoEffect } from "@holdfast/core";
import { BulkheadRejectedError, DrainedError, ReentrantCallError } from "./errors.ts";

/** A failed attempt. */
export interface FailedAttempt {
  /** 1 for the first. */
  readonly attempt: number;
  /** What it rejected with; undefined when a value was classified as a failure. */
  readonly error: unknown;
  /** The value that was classified as a failure. */
  readonly value: unknown;
  /** Whether the caller has said that repeating the call does no harm. */
  readonly idempotent?: boolean | undefined;
}

/** Decides whether an attempt is worth another one. */
export type RetryWhen = (failed: FailedAttempt) => boolean;

/**
 * Said before a byte of a request was sent: the address is not known, nobody listens there, no connection came about. Of which request,
 * nobody says: after a charge that was answered with a redirect, these are about the place that it leads to, and look the same.
 */
const neverSentCodes = new Set<unknown>(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT"]);
const causesMax = 8;

/** Whether the first code in a chain of causes is one of those that come before a request. */
function wasNeverSent(error: unknown): boolean {
  let current = error;
  for (let depth = 0; depth < causesMax; depth += 1) {
    if (propertyOf(current, "effect") === "possible") return false;
    const code = propertyOf(current, "code");
    if (code !== undefined) return neverSentCodes.has(code);
    current = propertyOf(current, "cause");
  }
  return false;
}

/**
 * The default rule. Repeats an error that says `effect: "none"`, and a value that was classified as a failure; an HTTP response, and an
 * error from before a request was sent, only when the call is idempotent. Never a refusal of the bulkhead's own.
 */
export function worthRetrying({ error, value, idempotent }: FailedAttempt): boolean {
  if (error === undefined) return value !== undefined && (idempotent === true || httpStatusesOf(value).length === 0);
  if (error instanceof BulkheadRejectedError || error instanceof ReentrantCallError) return false;
  if (error instanceof ClosedError || error instanceof DrainedError) return false;
  return saysNoEffect(error) || (idempotent === true && wasNeverSent(error));
}
