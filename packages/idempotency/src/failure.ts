/** What an attempt's error says of its effect, and the default decision on it. */
import { httpStatusesOf, propertyOf, saysNoEffect } from "@holdfast/core";
import type { Effect } from "@holdfast/core";
import type { Attempt } from "./attempt.ts";

/** What becomes of a key whose attempt has thrown: free for the next call, closed with the error, or undecided. */
export type FailureDecision = "release" | "store" | "unknown";

/** Decides on an attempt's error. */
export type OnError = (error: unknown, attempt: Attempt) => FailureDecision;

/** Names and codes with which clients say: sent, and no answer came. */
const unknownNames = new Set([
  "OutcomeUnknownError",
  "TimeoutError",
  "AbortError",
  "CallTimeoutError",
  "ScopeTimeoutError",
]);
const unknownCodes = new Set([
  "ABORT_ERR",
  "ECONNABORTED",
  "ECONNRESET",
  "EPIPE",
  "ERR_CANCELED",
  "ERR_HTTP2_STREAM_CANCEL",
  "ESOCKETTIMEDOUT",
  "ETIMEDOUT",
  "FST_ERR_HANDLER_TIMEOUT",
  "UND_ERR_ABORTED",
  "UND_ERR_BODY_TIMEOUT",
  "UND_ERR_HEADERS_TIMEOUT",
  "UND_ERR_SOCKET",
]);
const causesMax = 8;

/** Whether an error proves that its attempt had no effect: it says so itself. */
export function effectOf(error: unknown): Effect {
  return saysNoEffect(error) ? "none" : "possible";
}

/** Whether an HTTP status says that a time limit has answered in place of whoever may still be at work. */
export function saysTimedOut(status: number): boolean {
  return status === 408 || status === 504;
}

/**
 * The default `onError`: an error that says `effect: "none"` releases; an unknown outcome, a timeout or an abort, also as the cause of
 * another error, is unknown, and so is an error with the HTTP status 408 or 504; any other error releases, and the next attempt has
 * `recovered: true`.
 */
export function decideByError(error: unknown): FailureDecision {
  if (effectOf(error) === "none") return "release";
  let current = error;
  for (let depth = 0; depth < causesMax && current !== undefined && current !== null; depth += 1) {
    if (propertyOf(current, "effect") === "possible") return "unknown";
    if (
      unknownNames.has(String(propertyOf(current, "name"))) ||
      unknownCodes.has(String(propertyOf(current, "code"))) ||
      httpStatusesOf(current).some(saysTimedOut)
    ) {
      return "unknown";
    }
    current = propertyOf(current, "cause");
  }
  return "release";
}
