/**
 * The fenced lock over independent Redis primaries, through redlock 5.0.0-beta.2, with tokens that a majority agrees on:
 *
 * ```ts
 * const lock = new QuorumLock([redisA, redisB, redisC], { ttlMs: 10_000 });
 * await lock.withLock("invoice:42", { waitMs: 5_000 }, async (hold) => {
 *   await invoices.write(row, hold);
 * });
 * ```
 */
export { ClockSkewError, QuorumRefusedError, QuorumUnreachableError, type NodeVote } from "./errors.ts";
export type { RedlockLike } from "./nodes.ts";
export type { QuorumAcquireOptions, QuorumLockOptions, QuorumTryAcquireOptions } from "./options.ts";
export { QuorumLock, type QuorumAttempt } from "./quorum-lock.ts";
export type { QuorumState } from "./quorum-state.ts";
