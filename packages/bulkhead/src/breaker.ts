/**
 * What a bulkhead needs from a circuit breaker. It is told conclusive results alone (B2): what was never dispatched, and what its caller
 * cancelled, says nothing about the dependency.
 */

/** Closed lets calls through, open refuses them, half-open lets a few probes through. */
export type BreakerState = "closed" | "open" | "half-open";

/** What to do with a new call. */
export type Admission = "pass" | "probe" | "refuse";

/** A breaker. Results carry the generation in which their call was dispatched; those of an earlier one are ignored (B4). */
export interface Breaker {
  readonly state: BreakerState;
  /** Changes with every change of state. */
  readonly generation: number;
  /** Whether each answer has to come with its true duration. */
  readonly needsDurations: boolean;
  /** Whether a call may be dispatched now, and as what. Opening turns into half-open here, by the clock and without a timer. */
  admit(nowMs: number): Admission;
  /** The dependency answered. */
  succeeded(generation: number, durationMs: number, nowMs: number): void;
  /** The dependency failed. */
  failed(generation: number, error: unknown, nowMs: number): void;
  /** A call ended without telling anything; a probe of this generation may be sent again. */
  inconclusive(generation: number, nowMs: number): void;
  /** The work of a call that told nothing, since its caller gave it up, has ended. */
  ended(generation: number): void;
  /** Whether an answer that took this long counts as slow. */
  isSlow(durationMs: number): boolean;
}

/** For bulkheads without a breaker. */
export const noBreaker: Breaker = {
  state: "closed",
  generation: 0,
  needsDurations: false,
  admit: () => "pass",
  succeeded: () => undefined,
  failed: () => undefined,
  inconclusive: () => undefined,
  ended: () => undefined,
  isSlow: () => false,
};
