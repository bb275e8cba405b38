/**
 * A bulkhead with a circuit breaker around one dependency.
 *
 * ```ts
 * const payments = new Bulkhead("payments", {
 *   concurrencyMax: 12,
 *   timeoutMs: 500,
 *   adaptive: { concurrencyMin: 4, concurrencyMax: 64 },
 *   breaker: { failurePercent: 50 },
 * });
 * await payments.run(({ signal }) => fetch(url, { signal }));
 * payments.snapshot().advice?.message; // at 100 calls/s and p99 380 ms you need 38 permits, you have 12
 * ```
 */
export type { BreakerState } from "./breaker.ts";
export { Bulkhead, type DrainReport, type RunOptions } from "./bulkhead.ts";
export type { CallContext, CallFunction } from "./call.ts";
export {
  AttemptsFailedError,
  BulkheadRejectedError,
  CallTimeoutError,
  DrainedError,
  ReentrantCallError,
  type RejectionReason,
} from "./errors.ts";
export {
  DistributedBulkhead,
  type DistributedBulkheadOptions,
  type DistributedCallContext,
  type DistributedSnapshot,
} from "./distributed-bulkhead.ts";
export { TooManyPodsError } from "./scripts.ts";
export { SharedBreaker, type SharedBreakerOptions } from "./shared-breaker.ts";
export { bulkheadChannel, type BulkheadEvent } from "./events.ts";
export type { BreakerOptions, BulkheadOptions, RetryOptions } from "./options.ts";
export { outcomes, type Classify, type Outcome, type OutcomeCounts, type Result, type Verdict } from "./outcome.ts";
export type { Percentiles } from "./percentiles.ts";
export type { BulkheadSnapshot, PermitAdvice } from "./snapshot.ts";
export { classifyResponse, wrapFetch, type Fetch, type WrapFetchOptions } from "./wrap-fetch.ts";
export { wrapPool, type PoolClientLike, type PoolLike, type WrapPoolOptions, type WrappedPool } from "./wrap-pool.ts";
export { worthRetrying, type FailedAttempt, type RetryWhen } from "./worth-retrying.ts";
