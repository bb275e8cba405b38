/** Options of a timer and of its workers: complete, checked, read-only. */
import { integerOr, leaseRangeMs, optionsObject, resolveBackoff, resolveCommonOptions } from "@holdfast/core";
import type { Backoff, BackoffOptions, CommonOptions, ResolvedCommonOptions } from "@holdfast/core";
import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { TimerEvent } from "./events.ts";

/** Options of a DurableTimer. */
export interface TimerOptions<Payload> extends CommonOptions<TimerEvent> {
  /** Number of Cluster slots the timers are spread over, 1 to 1,024; stored with them, the same for every client. Default 1. */
  readonly shards?: number | undefined;
  /** Standard Schema of the payload, checked when a timer is scheduled and when it fires. Default none. */
  readonly payload?: StandardSchemaV1<unknown, Payload> | undefined;
  /** Most timers that may be pending, in each shard its part. Default no limit. */
  readonly pendingMax?: number | undefined;
  /** Largest payload as JSON, in bytes, 2 to 16,777,216. Default 65,536. */
  readonly payloadBytesMax?: number | undefined;
  /** Furthest deadline from now in milliseconds. Default 366 days. */
  readonly delayMaxMs?: number | undefined;
  /**
   * How long the server remembers what has ended, in milliseconds, 1,000 to 86,400,000: so long may an operation be repeated after the
   * timer that it set has ended, or after it was answered if it set none, and so far may `asOfMs` of `reconcile` lie in the past. The
   * longest time of all clients counts. Default 60,000.
   */
  readonly rememberMs?: number | undefined;
}

/** Options of a timer, complete. */
export interface ResolvedTimerOptions<Payload> extends ResolvedCommonOptions<TimerEvent> {
  readonly shards: number;
  readonly payload: StandardSchemaV1<unknown, Payload> | undefined;
  /** In each shard; 0 for no limit. */
  readonly shardPendingMax: number;
  readonly pendingMax: number;
  readonly payloadBytesMax: number;
  readonly delayMaxMs: number;
  readonly rememberMs: number;
}

/** Options of a worker. */
export interface WorkerOptions {
  /** Handlers that run at a time, 1 to 10,000. Default 64. */
  readonly concurrencyMax?: number | undefined;
  /** Length of a lease in milliseconds; renewed while the handler runs. After a crash its timers fire elsewhere within this. Default 15,000. */
  readonly leaseMs?: number | undefined;
  /** Attempts after which a timer is a dead letter, 1 to 1,000. Default 10. */
  readonly attemptsMax?: number | undefined;
  /** Wait between attempts. */
  readonly backoff?: BackoffOptions | undefined;
  /** Longest sleep between two looks at the server, in milliseconds, 10 to 60,000. Default 1,000. */
  readonly pollMs?: number | undefined;
}

/** Options of a worker, complete. */
export interface ResolvedWorkerOptions {
  readonly concurrencyMax: number;
  readonly leaseMs: number;
  readonly attemptsMax: number;
  readonly backoff: Backoff;
  readonly pollMs: number;
}

const yearMs = 366 * 86_400_000;

/** @throws TypeError, RangeError naming the field, the allowed range and the value got */
export function resolveTimerOptions<Payload>(options: TimerOptions<Payload>): ResolvedTimerOptions<Payload> {
  const common = resolveCommonOptions(options);
  const { payload } = options;
  if (payload !== undefined && typeof payload?.["~standard"]?.validate !== "function") {
    throw new TypeError(`payload must be a Standard Schema (with "~standard".validate), got ${typeof payload}`);
  }
  const shards = integerOr(1, "shards", options.shards, { min: 1, max: 1_024 });
  const pendingMax = integerOr(0, "pendingMax", options.pendingMax, { min: 1, max: Number.MAX_SAFE_INTEGER });
  return {
    ...common,
    shards,
    payload,
    pendingMax,
    shardPendingMax: Math.ceil(pendingMax / shards),
    payloadBytesMax: integerOr(65_536, "payloadBytesMax", options.payloadBytesMax, { min: 2, max: 16_777_216 }),
    delayMaxMs: integerOr(yearMs, "delayMaxMs", options.delayMaxMs, { min: 1, max: 100 * yearMs }),
    rememberMs: integerOr(60_000, "rememberMs", options.rememberMs, { min: 1_000, max: 86_400_000 }),
  };
}

/** @throws TypeError, RangeError naming the field, the allowed range and the value got */
export function resolveWorkerOptions(options: WorkerOptions): ResolvedWorkerOptions {
  optionsObject("options", options);
  return {
    concurrencyMax: integerOr(64, "concurrencyMax", options.concurrencyMax, { min: 1, max: 10_000 }),
    leaseMs: integerOr(15_000, "leaseMs", options.leaseMs, leaseRangeMs),
    attemptsMax: integerOr(10, "attemptsMax", options.attemptsMax, { min: 1, max: 1_000 }),
    backoff: resolveBackoff(options.backoff),
    pollMs: integerOr(1_000, "pollMs", options.pollMs, { min: 10, max: 60_000 }),
  };
}
