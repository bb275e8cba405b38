/**
 * Owns what happens, the same on both sides; durations in milliseconds.
 */

/** How a service keeps its requests within their time. */
export type Side = "race" | "scope";

/** The sides, in the order of their columns. */
export const SIDES: readonly Side[] = ["race", "scope"];

/** One run. */
export interface Course {
  readonly requestsPerSecond: number;
  readonly requests: number;
  /** A request has so long. */
  readonly timeoutMs: number;
  /** Within a scope: how long subtasks may take to end after that. */
  readonly graceMs: number;
  /** What the shop's other subtasks take. */
  readonly quickMs: number;
  /** What the recommendations take. */
  readonly recommendationsMs: number;
  /** Every so many requests have a subtask that does not listen to its signal. */
  readonly deafEvery: number;
  /** How long such a one takes. */
  readonly deafMs: number;
}

/** What `npm run demo` shows. */
export const FULL: Course = {
  requestsPerSecond: 20,
  requests: 160,
  timeoutMs: 350,
  graceMs: 100,
  quickMs: 30,
  recommendationsMs: 5_000,
  deafEvery: 20,
  deafMs: 1_500,
};

/** A first look. */
export const QUICK: Course = { ...FULL, requests: 60 };

/** What is the same for both sides, for the reader of the figures. */
export function describeCourse({ requests, requestsPerSecond, timeoutMs, recommendationsMs }: Course): string {
  return `each side: ${requests} requests at ${requestsPerSecond}/s, ${timeoutMs} ms for each; recommendations take ${recommendationsMs / 1_000} s today`;
}
