/** What an attempt's error says of its effect, and the default decision on it. */
import { propertyOf, saysNoEffect } from "@holdfast/core";
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
  "ERR_HTTP2_STREAM_CANCEL",
  "ESOCKETTIMEDOUT",
  "ETIMEDOUT",
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

/**
 * The default `onError`: an error that says `effect: "none"` releases; an unknown outcome, a timeout or an abort, also as the cause of
 * another error, is unknown; any other error releases, and the next attempt has `recovered: true`.
 */
export function decideByError(error: unknown): FailureDecision {
  if (effectOf(error) === "none") return "release";
  let current = error;
  for (let depth = 0; depth < causesMax && current !== undefined && current !== null; depth += 1) {
    if (propertyOf(current, "effect") === "possible") return "unknown";
    if (
      unknownNames.has(String(propertyOf(current, "name"))) ||
      unknownCodes.has(String(propertyOf(current, "code")))
    ) {
      return "unknown";
    }
    current = propertyOf(current, "cause");
  }
  return "release";
}
