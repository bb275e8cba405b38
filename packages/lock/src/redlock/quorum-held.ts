/** What a lease of a quorum knows beside its deadline. */
import type { Ballot } from "./ballot.ts";

/** A lease of a quorum. */
export interface QuorumHeld {
  readonly owner: string;
  readonly ttlMs: number;
  /** The acquire that won it, which renews and releases it. */
  readonly ballot: Ballot;
}
