/** How a call ended: every attempt is counted under exactly one outcome. */

/** All outcomes, in the order of a call's life. */
export const outcomes = [
  "success",
  "slow",
  "failed",
  "timed-out",
  "queue-timeout",
  "rejected-full",
  "rejected-deadline",
  "rejected-open",
  "cancelled",
] as const;

/** How a call ended. */
export type Outcome = (typeof outcomes)[number];

/** Calls by outcome. */
export type OutcomeCounts = Readonly<Record<Outcome, number>>;

/** Counters at zero. */
export function noOutcomes(): Record<Outcome, number> {
  return {
    success: 0,
    slow: 0,
    failed: 0,
    "timed-out": 0,
    "queue-timeout": 0,
    "rejected-full": 0,
    "rejected-deadline": 0,
    "rejected-open": 0,
    cancelled: 0,
  };
}

/** What a result says about the dependency's health. */
export type Verdict = "success" | "failure" | "ignore";

/** What `classify` is asked about. */
export interface Result {
  /** What the function resolved to; undefined when it failed. */
  readonly value: unknown;
  /** What the function rejected with; undefined when it succeeded. */
  readonly error: unknown;
  /** Milliseconds from the dispatch. */
  readonly durationMs: number;
}

/** Decides what a result says about the dependency's health. */
export type Classify = (result: Result) => Verdict;
