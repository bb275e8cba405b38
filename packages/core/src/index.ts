/**
 * What every Holdfast primitive stands on. A primitive is typed Lua scripts on a connection:
 *
 * ```ts
 * const connection = Connection.of(redis);
 * const keys = keySpace("holdfast", "lock", "invoice:42");
 * const release = defineScript(releaseSource, (reply, operation) =>
 *   decodeTagged(operation, reply, { released: () => "released" as const, lost: () => "lost" as const }),
 * );
 * await connection.run(release, { lease: keys.key("lease") }, { owner }, { operation: "lock.release", timeoutMs: 2_000 });
 * ```
 */
export { onAbort, type AbortRegistration } from "./abort-listeners.ts";
export {
  ambientDeadline,
  ambientPatienceMs,
  ambientRemainingMs,
  withAmbientDeadline,
  withinAmbientDeadline,
  withoutAmbientDeadline,
  type AmbientDeadline,
} from "./ambient-deadline.ts";
export { backoffMs, resolveBackoff, type Backoff, type BackoffOptions } from "./backoff.ts";
export { checkServer, type CheckServerOptions, type ServerFinding, type ServerReport } from "./check-server.ts";
export { elapsedMs, now, sleep, systemClock, type Clock, type Instant, type TimerHandle } from "./clock.ts";
export { Coalescer } from "./coalescer.ts";
export { resolveCommonOptions, type CommonOptions, type ResolvedCommonOptions } from "./common-options.ts";
export { Connection, type CallOptions } from "./connection.ts";
export { Deadline, deadlineListOf, DeadlineList, type DeadlineEntry } from "./deadline-list.ts";
export type { Durability } from "./durable-wire.ts";
export {
  cameLate,
  ClosedError,
  HoldfastError,
  isTransient,
  NewerFormatError,
  NotReplicatedError,
  OutcomeUnknownError,
  RedisRefusedError,
  RedisUnavailableError,
  TooLateError,
  UnexpectedReplyError,
  UnsafeServerError,
  type Effect,
  underOwnId,
  unconfirmedAnswer,
} from "./errors.ts";
export { EventSink } from "./events.ts";
export type { Fenced } from "./fenced.ts";
export { follow, type WorkOwner } from "./follow.ts";
export { checkPrefix, keySpace, type KeySpace } from "./keys.ts";
export { nextStartMs } from "./next-start.ts";
export { systemRandom, type Random } from "./random.ts";
export { isCluster, type ClusterRedisLike, type RedisLike, type SingleRedisLike } from "./redis-like.ts";
export { replyErrorCode } from "./refusal.ts";
export {
  leaseMarginMs,
  LeaseKeeper,
  RenewedLease,
  type LeaseEnd,
  type LeaseGrant,
  type LeaseKeeperSettings,
  type RenewalOutcome,
} from "./renewed-lease.ts";
export {
  decodeTagged,
  defineScript,
  ReplyFields,
  type LuaSource,
  type Script,
  type ScriptArgs,
  type ScriptKeys,
} from "./script.ts";
export { slotOf } from "./slot.ts";
export { httpStatusesOf, propertyOf, saysNoEffect, warn, wordsOf } from "./thrown.ts";
export { callback, integer, integerOr, leaseRangeMs, oneOf, optionsObject, signal, text } from "./validate.ts";
export type { WakeUpListener, WakeUps, WakeUpSubscription } from "./wake-ups.ts";
