/** What can go wrong with a quorum: each error names what every node said. */
import { HoldfastError } from "@holdfast/core";
import type { Effect } from "@holdfast/core";

/** What one node said. */
export interface NodeVote {
  /** `host:port`, or its place in the list. */
  readonly node: string;
  /**
   * `granted` and confirmed · `held` by another value · `lost` to another value since · `skewed`: its clock is behind the token by more than
   * `clockSkewMaxMs` · `timed-out` within `nodeTimeoutMs` · `failed` · `unasked`: the outcome was clear before it answered.
   */
  readonly vote: "granted" | "held" | "lost" | "skewed" | "timed-out" | "failed" | "unasked";
  /** Why it failed. */
  readonly error?: unknown;
  /** By how many milliseconds its clock was behind the token. */
  readonly behindMs?: number;
}

function told(votes: readonly NodeVote[]): string {
  return votes.map(({ node, vote }) => `${node} ${vote}`).join(", ");
}

/** No majority of the nodes could be asked. */
export class QuorumUnreachableError extends HoldfastError {
  override readonly name = "QuorumUnreachableError";
  readonly code = "QUORUM_UNREACHABLE";
  readonly effect: Effect = "possible";
  readonly resource: string;
  readonly votes: readonly NodeVote[];

  constructor(resource: string, votes: readonly NodeVote[]) {
    super(`${resource}: no majority answered (${told(votes)}); what a node may have granted ends with its ttl`);
    this.resource = resource;
    this.votes = votes;
  }
}

/** A majority holds the lock for others; the cause of a LockTimeoutError. */
export class QuorumRefusedError extends HoldfastError {
  override readonly name = "QuorumRefusedError";
  readonly code = "QUORUM_REFUSED";
  readonly effect = "none";
  readonly resource: string;
  readonly votes: readonly NodeVote[];

  constructor(resource: string, votes: readonly NodeVote[]) {
    super(`${resource}: no majority was free (${told(votes)})`);
    this.resource = resource;
    this.votes = votes;
  }
}

/** The nodes' clocks differ by more than `clockSkewMaxMs`, so that no token would be safe against a node that forgets (L8). */
export class ClockSkewError extends HoldfastError {
  override readonly name = "ClockSkewError";
  readonly code = "CLOCK_SKEW";
  readonly effect = "none";
  readonly resource: string;
  readonly clockSkewMaxMs: number;
  readonly votes: readonly NodeVote[];

  constructor(resource: string, clockSkewMaxMs: number, votes: readonly NodeVote[]) {
    super(
      `${resource}: too many nodes' clocks are more than clockSkewMaxMs (${clockSkewMaxMs} ms) behind the token (${told(votes)}); synchronise them`,
    );
    this.resource = resource;
    this.clockSkewMaxMs = clockSkewMaxMs;
    this.votes = votes;
  }
}
