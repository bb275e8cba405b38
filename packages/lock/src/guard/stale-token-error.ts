/** The refusal of a stale writer. */
import { HoldfastError } from "@holdfast/core";

/** Nothing was written: the lock this token belongs to has passed on, or the token is older than the guard remembers. */
export class StaleTokenError extends HoldfastError {
  override readonly name = "StaleTokenError";
  readonly code = "STALE_TOKEN";
  readonly effect = "none";
  readonly resource: string;
  readonly token: number;
  /** The highest token that has been there; with `too-old`, the oldest one that is still let through. */
  readonly highest: number;
  readonly reason: "superseded" | "too-old";

  constructor(resource: string, token: number, highest: number, reason: "superseded" | "too-old") {
    const why =
      reason === "superseded"
        ? `a later holder with token ${highest} has been here`
        : `the guard remembers tokens from ${highest} on; keep guardRetentionMs at least as long as the lock's holdMaxMs`;
    super(`${resource}: the write with token ${token} was refused: ${why}; stop, the lock is lost`);
    this.resource = resource;
    this.token = token;
    this.highest = highest;
    this.reason = reason;
  }
}
