/** Options of a quorum lock, complete and checked once. */
import { integer, integerOr, leaseRangeMs, resolveCommonOptions } from "@holdfast/core";
import type { CommonOptions, ResolvedCommonOptions } from "@holdfast/core";
import type { LockEvent } from "../events.ts";
import { resolveAcquireOptions } from "../options.ts";
import type { AcquireOptions, ResolvedAcquireOptions } from "../options.ts";

/** Options of a QuorumLock. */
export interface QuorumLockOptions extends Omit<CommonOptions<LockEvent>, "durability" | "commandTimeoutMs"> {
  /** Length of a lease in milliseconds, 50 to 86,400,000. Default 30,000. */
  readonly ttlMs?: number | undefined;
  /** Milliseconds between renewals, at most half of `ttlMs`. Default a third of the ttl. */
  readonly renewEveryMs?: number | undefined;
  /** Longest hold in milliseconds, however often renewed. Default 86,400,000. */
  readonly holdMaxMs?: number | undefined;
  /** Longest wait for one node in milliseconds, 10 to 60,000. Default 250. */
  readonly nodeTimeoutMs?: number | undefined;
  /** How far the nodes' clocks may be apart in milliseconds, 1 to 60,000; an acquire waits for up to so long. Default 500. */
  readonly clockSkewMaxMs?: number | undefined;
  /** Pause between two attempts in milliseconds, 5 to 60,000, of which half is left to chance. Default 100. */
  readonly retryEveryMs?: number | undefined;
  /** How long each node remembers the last token in milliseconds, 60,000 to 31,622,400,000. Default 600,000. */
  readonly fenceRetentionMs?: number | undefined;
}

/** Options of one acquire. It has no `operationId`: what was granted before is not told again (decision 077). */
export type QuorumAcquireOptions = Omit<AcquireOptions, "operationId">;

/** Options of one acquire that does not wait. */
export type QuorumTryAcquireOptions = Omit<QuorumAcquireOptions, "waitMs">;

/** Options, complete. */
export interface ResolvedQuorumOptions extends ResolvedCommonOptions<LockEvent> {
  readonly ttlMs: number;
  readonly renewEveryMs: number | undefined;
  readonly holdMaxMs: number;
  readonly nodeTimeoutMs: number;
  readonly clockSkewMaxMs: number;
  readonly retryEveryMs: number;
  readonly fenceRetentionMs: number;
}

const dayMs = 86_400_000;

/** @throws TypeError, RangeError naming the field, the allowed range and the value got */
export function resolveQuorumOptions(options: QuorumLockOptions): ResolvedQuorumOptions {
  const common = resolveCommonOptions(options);
  const ttlMs = integerOr(30_000, "ttlMs", options.ttlMs, leaseRangeMs);
  const { renewEveryMs } = options;
  if (renewEveryMs !== undefined) integer("renewEveryMs", renewEveryMs, { min: 10, max: Math.floor(ttlMs / 2) });
  return {
    ...common,
    ttlMs,
    renewEveryMs,
    holdMaxMs: integerOr(dayMs, "holdMaxMs", options.holdMaxMs, { min: 50, max: 366 * dayMs }),
    nodeTimeoutMs: integerOr(250, "nodeTimeoutMs", options.nodeTimeoutMs, { min: 10, max: 60_000 }),
    clockSkewMaxMs: integerOr(500, "clockSkewMaxMs", options.clockSkewMaxMs, { min: 1, max: 60_000 }),
    retryEveryMs: integerOr(100, "retryEveryMs", options.retryEveryMs, { min: 5, max: 60_000 }),
    fenceRetentionMs: integerOr(600_000, "fenceRetentionMs", options.fenceRetentionMs, {
      min: 60_000,
      max: 366 * dayMs,
    }),
  };
}

/**
 * @param waits false for an acquire that does not wait
 * @throws TypeError, RangeError naming the field, the allowed range and the value got
 */
export function resolveQuorumAcquireOptions(
  defaults: Pick<ResolvedQuorumOptions, "ttlMs" | "renewEveryMs">,
  options: QuorumAcquireOptions,
  waits: boolean,
): ResolvedAcquireOptions {
  const request = resolveAcquireOptions(defaults, options, waits);
  if (request.operationId !== undefined) {
    throw new TypeError(
      `operationId must not be given to a QuorumLock, got ${JSON.stringify(request.operationId)}: it cannot tell the grant again`,
    );
  }
  return request;
}
