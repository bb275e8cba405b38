/** What became of the forks of a scope (S4): every fork is counted under exactly one outcome. */

/** Outcomes of one scope's forks. */
export interface ScopeReport {
  readonly forks: number;
  /** Forks whose work has not settled; 0 once the scope has ended. */
  readonly running: number;
  readonly success: number;
  readonly failed: number;
  /** Settled after a deadline had passed. */
  readonly timedOut: number;
  /** Settled after a cancellation for another reason. */
  readonly cancelled: number;
  /** Had not settled when the scope returned. */
  readonly zombies: number;
  /**
   * Of the timed-out forks and the zombies, those for which a deadline passed without any effect on the work: it went on to a value, or is
   * still running. When this is not 0, signals do not reach the work.
   */
  readonly timeoutsWithoutCancellation: number;
}

/** The counters behind a report. */
export type ScopeCounters = { -readonly [Key in keyof ScopeReport]: ScopeReport[Key] };

/** Counters at zero. */
export function noCounts(): ScopeCounters {
  return {
    forks: 0,
    running: 0,
    success: 0,
    failed: 0,
    timedOut: 0,
    cancelled: 0,
    zombies: 0,
    timeoutsWithoutCancellation: 0,
  };
}
