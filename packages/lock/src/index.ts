/**
 * A lock for services that share a Redis. Each hold carries a token that the resource checks, so that a holder which was paused past its
 * lease cannot overwrite its successor's work:
 *
 * ```ts
 * const lock = new FencedLock(redis, { ttlMs: 30_000 });
 * await lock.withLock("invoice:42", { waitMs: 5_000 }, async (hold) => {
 *   await fencedSet(redis, "invoice:42:state", "paid", hold); // from @holdfast/lock/guard: refuses a stale token
 * });
 * await lock.close();
 * ```
 */
export { LockLostError, LockTimeoutError } from "./errors.ts";
export { lockChannel, type LockEvent } from "./events.ts";
export { FencedLock } from "./fenced-lock.ts";
export { type Hold, type ReleaseResult } from "./hold.ts";
export type { AcquireOptions, LockOptions, TryAcquireOptions } from "./options.ts";
export type { LockState } from "./scripts.ts";
