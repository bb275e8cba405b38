/** Options of a lock, complete and checked once, at construction and at each call. */
import { integer, integerOr, leaseRangeMs, optionsObject, resolveCommonOptions, signal, text } from "@holdfast/core";
import type { CommonOptions, ResolvedCommonOptions } from "@holdfast/core";
import type { LockEvent } from "./events.ts";

/** Options of a FencedLock. */
export interface LockOptions extends CommonOptions<LockEvent> {
  /** Length of a lease in milliseconds, 50 to 86,400,000. Default 30,000. */
  readonly ttlMs?: number | undefined;
  /** Milliseconds between renewals, at most half of `ttlMs`. Default a third of the ttl. */
  readonly renewEveryMs?: number | undefined;
  /** Longest hold in milliseconds, however often renewed; guards must remember for as long. Default 86,400,000. */
  readonly holdMaxMs?: number | undefined;
  /** How long others are kept out after a lease that ended without a release, in milliseconds. Default 0. */
  readonly lockDelayMs?: number | undefined;
  /** For how long a waiter that says nothing counts as alive, also while a hand-off waits for it; 100 to 60,000. Default 1,000. */
  readonly waiterLapseMs?: number | undefined;
  /**
   * How long the last token, and who has given up, is remembered after the lease, in milliseconds, 60,000 to 31,622,400,000 and no less than
   * `commandTimeoutMs`. Default 600,000.
   */
  readonly fenceRetentionMs?: number | undefined;
}

/** Options of one acquire. */
export interface AcquireOptions {
  /** Longest wait in milliseconds, 0 (one try) to 86,400,000. Default 10,000. The ambient deadline ends it too. */
  readonly waitMs?: number | undefined;
  /** Length of this lease in milliseconds. Default the instance's. */
  readonly ttlMs?: number | undefined;
  /** Ends the waiting, not the hold. */
  readonly signal?: AbortSignal | undefined;
  /** Names this acquire, 1 to 128 bytes without a leading `!`; a repeat under it gets the same token while it is held. Default a new one. */
  readonly operationId?: string | undefined;
}

/** Options of one acquire that does not wait. */
export type TryAcquireOptions = Omit<AcquireOptions, "waitMs">;

/** Options, complete. */
export interface ResolvedLockOptions extends ResolvedCommonOptions<LockEvent> {
  readonly ttlMs: number;
  readonly renewEveryMs: number | undefined;
  readonly holdMaxMs: number;
  readonly lockDelayMs: number;
  readonly waiterLapseMs: number;
  readonly fenceRetentionMs: number;
}

/** Options of one acquire, complete. */
export interface ResolvedAcquireOptions {
  readonly waitMs: number;
  readonly ttlMs: number;
  readonly renewEveryMs: number;
  readonly signal: AbortSignal | undefined;
  readonly operationId: string | undefined;
}

const dayMs = 86_400_000;

/** @throws TypeError, RangeError naming the field, the allowed range and the value got */
export function resolveLockOptions(options: LockOptions): ResolvedLockOptions {
  const common = resolveCommonOptions(options);
  const ttlMs = integerOr(30_000, "ttlMs", options.ttlMs, leaseRangeMs);
  const { renewEveryMs } = options;
  if (renewEveryMs !== undefined) integer("renewEveryMs", renewEveryMs, { min: 10, max: Math.floor(ttlMs / 2) });
  const fenceRetentionMs = integerOr(600_000, "fenceRetentionMs", options.fenceRetentionMs, {
    min: 60_000,
    max: 366 * dayMs,
  });
  return {
    ...common,
    ttlMs,
    renewEveryMs,
    holdMaxMs: integerOr(dayMs, "holdMaxMs", options.holdMaxMs, { min: 50, max: 366 * dayMs }),
    lockDelayMs: integerOr(0, "lockDelayMs", options.lockDelayMs, { min: 0, max: dayMs }),
    waiterLapseMs: integerOr(1_000, "waiterLapseMs", options.waiterLapseMs, { min: 100, max: 60_000 }),
    // Whoever has released or given up is known for as long as a request of its own may arrive (K1).
    fenceRetentionMs: Math.max(fenceRetentionMs, common.commandTimeoutMs),
  };
}

/**
 * The id that a caller names an operation with, if any.
 * @throws TypeError, RangeError naming the field, the allowed range and the value got
 */
export function resolveOperationId(options: { readonly operationId?: string | undefined }): string | undefined {
  optionsObject("options", options);
  if (options.operationId === undefined) return undefined;
  const operationId = text("operationId", options.operationId, 128);
  // The records of a lock mark so who has given up, and who has released by force: one of that name would be taken for the other.
  if (operationId.startsWith("!")) {
    throw new RangeError(`operationId must not begin with !, got ${JSON.stringify(operationId)}`);
  }
  return operationId;
}

/**
 * @param waits false for an acquire that does not wait
 * @throws TypeError, RangeError naming the field, the allowed range and the value got
 */
export function resolveAcquireOptions(
  { ttlMs: defaultTtlMs, renewEveryMs }: Pick<ResolvedLockOptions, "ttlMs" | "renewEveryMs">,
  options: AcquireOptions,
  waits: boolean,
): ResolvedAcquireOptions {
  const operationId = resolveOperationId(options);
  signal("signal", options.signal);
  const waitMs = waits ? integerOr(10_000, "waitMs", options.waitMs, { min: 0, max: dayMs }) : 0;
  const ttlMs = integerOr(defaultTtlMs, "ttlMs", options.ttlMs, leaseRangeMs);
  const thirdMs = Math.floor(ttlMs / 3);
  return {
    waitMs,
    ttlMs,
    renewEveryMs: renewEveryMs === undefined ? thirdMs : Math.min(renewEveryMs, Math.floor(ttlMs / 2)),
    signal: options.signal,
    operationId,
  };
}
