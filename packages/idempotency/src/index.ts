/**
 * Idempotency keys on Redis: one live attempt per key, a fencing token for its handler, an outcome that never changes.
 *
 * ```ts
 * const idempotency = new Idempotency(redis, "payments");
 * const { value, replayed } = await idempotency.run({ key, tenant }, { fingerprint: body }, async (attempt) =>
 *   provider.charge(body.amount, { idempotencyKey: attempt.downstreamKey, signal: attempt.signal }),
 * );
 * ```
 */
export type { Attempt } from "./attempt.ts";
export { jsonCodec, type Codec } from "./codec.ts";
export {
  AttemptLostError,
  AttemptSupersededError,
  FingerprintMismatchError,
  InProgressError,
  ResultNotStoredError,
  ResultUnreadableError,
  StoredError,
  type NotStoredReason,
} from "./errors.ts";
export { eventChannel, type IdempotencyEvent } from "./events.ts";
export { decideByError, type FailureDecision, type OnError } from "./failure.ts";
export { fingerprintOf } from "./fingerprint.ts";
export { Idempotency, type OperationOptions, type RunResult } from "./idempotency.ts";
export type { KeyState, KeyStateKind } from "./key-state.ts";
export type { IdempotencyKey } from "./keys.ts";
export type { IdempotencyOptions, RunOptions } from "./options.ts";
export type { Resolution, ResolveAnswer } from "./resolution.ts";
export { ClosedError, HoldfastError, OutcomeUnknownError, RedisUnavailableError } from "@holdfast/core";
