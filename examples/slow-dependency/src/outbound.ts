/**
 * What a replica calls through, whatever stands in between.
 */

/** Makes one request; rejects when the signal aborts. */
export type Request = (signal: AbortSignal) => Promise<void>;

/** The way out of a replica, to two dependencies. */
export interface Outbound {
  payments(request: Request): Promise<void>;
  profiles(request: Request): Promise<void>;
  /** How often a breaker on payments has opened. */
  readonly openings: number;
  /** What the operator was told when it mattered most, if anything. */
  readonly advice: string | null;
}

/** What an outbound is made for. */
export interface OutboundOptions {
  readonly permits: { readonly payments: number; readonly profiles: number };
  readonly deadlineMs: number;
  readonly openMs: number;
}
