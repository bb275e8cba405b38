/** What an attempt's error says of its effect, and the default decision on it. */
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

/** Reads a property of anything that may have been thrown. */
function property(error: unknown, name: string): unknown {
  return typeof error === "object" && error !== null ? (error as Record<string, unknown>)[name] : undefined;
}

/** Whether an error proves that its attempt had no effect: it says so itself. */
export function effectOf(error: unknown): Effect {
  return property(error, "effect") === "none" ? "none" : "possible";
}

/**
 * The default `onError`: an error that says `effect: "none"` releases; an unknown outcome, a timeout or an abort, also as the cause of
 * another error, is unknown; any other error releases, and the next attempt has `recovered: true`.
 */
export function decideByError(error: unknown): FailureDecision {
  if (effectOf(error) === "none") return "release";
  let current = error;
  for (let depth = 0; depth < causesMax && current !== undefined && current !== null; depth += 1) {
    if (property(current, "effect") === "possible") return "unknown";
    if (unknownNames.has(String(property(current, "name"))) || unknownCodes.has(String(property(current, "code")))) {
      return "unknown";
    }
    current = property(current, "cause");
  }
  return "release";
}
