/**
 * One limit over all processes. A local bulkhead queues, times out and classifies as always; its limit is this process' share of the
 * permits in Redis. Calls never wait for Redis while the process holds a free permit.
 */
import {
  Connection,
  integer,
  integerOr,
  leaseRangeMs,
  oneOf,
  optionsObject,
  resolveCommonOptions,
} from "@holdfast/core";
import type { CommonOptions, Fenced, RedisLike } from "@holdfast/core";
import { Bulkhead } from "./bulkhead.ts";
import type { DrainReport, RunOptions } from "./bulkhead.ts";
import type { CallContext } from "./call.ts";
import type { BulkheadEvent } from "./events.ts";
import { noDurability } from "./options.ts";
import type { BulkheadOptions } from "./options.ts";
import { PermitShare } from "./permit-share.ts";
import type { BulkheadSnapshot } from "./snapshot.ts";

/** Options of a distributed bulkhead: those of a bulkhead, and those of what talks to Redis. */
export interface DistributedBulkheadOptions
  extends Omit<BulkheadOptions, "concurrencyMax" | "adaptive">, Omit<CommonOptions<BulkheadEvent>, "durability"> {
  /** Calls in flight over all processes, 1 to 1,000,000. */
  readonly concurrencyMax: number;
  /**
   * When Redis is out of reach and the lease is over: use the limit divided by the last known number of processes (at least 1; 1 when
   * Redis was never reached), or reject. When Redis answers and refuses, calls are rejected in either case. Default `"reject"`.
   */
  readonly whenUnreachable?: "local-share" | "reject" | undefined;
  /** Permits of a process that died are free after this time; milliseconds. Default 10,000. */
  readonly leaseMs?: number | undefined;
  /** While calls wait, how often it asks although no hint came; milliseconds, 10 to 60,000. Default 250. */
  readonly pollMs?: number | undefined;
  /** Most processes that share the permits, 1 to 1,000. Default 200. */
  readonly podsMax?: number | undefined;
}

/** What a distributed call's function gets: the token grows with every lease on permits, so a resource can refuse a stale process. */
export interface DistributedCallContext extends CallContext, Fenced {}

/** The state of a distributed bulkhead in this process. */
export interface DistributedSnapshot extends BulkheadSnapshot {
  /** Permits of this process that Redis knows of. */
  readonly held: number;
  /** Live processes at the last answer of Redis, null before the first. */
  readonly pods: number | null;
}

/** The token of calls on permits that Redis does not know of: lower than any it gives. */
const noToken = 0;

/** One limit over all processes that name it. */
export class DistributedBulkhead implements AsyncDisposable {
  readonly name: string;
  readonly #bulkhead: Bulkhead;
  readonly #share: PermitShare;
  #unreachable: Error | undefined;
  /** Why no permit can be waited for. */
  #refusal: Error | undefined;

  /** @throws TypeError, RangeError naming the field, the allowed range and the value got */
  constructor(redis: RedisLike, name: string, options: DistributedBulkheadOptions) {
    optionsObject("options", options);
    // Its limit would take the place of the share, whoever passes it by a cast or in an object of more options (B7).
    if ((options as BulkheadOptions).adaptive !== undefined) {
      throw new TypeError(
        "adaptive must be left out: a distributed bulkhead gets its limit from Redis, got a limit of its own",
      );
    }
    noDurability(options);
    const { leaseMs, pollMs, podsMax, whenUnreachable, prefix, commandTimeoutMs, concurrencyMax, ...local } = options;
    const limit = integer("concurrencyMax", concurrencyMax, { min: 1, max: 1_000_000 });
    const mode = oneOf("whenUnreachable", whenUnreachable ?? "reject", ["local-share", "reject"]);
    const common = resolveCommonOptions<never>({
      prefix,
      commandTimeoutMs,
      clock: options.clock,
      random: options.random,
    });
    const source = {
      limit: 0,
      beforeGrant: () => this.#share.check(),
      onDemand: () => this.#share.demand(),
      onReturn: () => this.#share.returned(),
      limitSoon: () => this.#share.prospect,
      refusal: () => this.#refusal,
    };
    this.#bulkhead = new Bulkhead(name, { ...local, concurrencyMax: limit }, source);
    this.name = this.#bulkhead.name;
    this.#share = new PermitShare(
      Connection.of(redis, common.clock),
      {
        inUse: () => this.#bulkhead.snapshotOfLoad().inFlight,
        waiting: () => this.#bulkhead.snapshotOfLoad().queued,
        allow: (permits, because) => this.#bulkhead.setLimit(permits, because),
        unreachable: (error, refused) => this.#onUnreachable(error, refused || mode === "reject"),
        reached: () => this.#onReached(),
      },
      {
        name: this.name,
        concurrencyMax: limit,
        leaseMs: integerOr(10_000, "leaseMs", leaseMs, leaseRangeMs),
        pollMs: integerOr(250, "pollMs", pollMs, { min: 10, max: 60_000 }),
        podsMax: integerOr(200, "podsMax", podsMax, { min: 1, max: 1_000 }),
        alone: (pods) => (mode === "reject" ? 0 : Math.max(1, Math.floor(limit / (pods ?? limit)))),
        common,
      },
    );
  }

  /**
   * Calls the dependency with a permit of all processes' limit.
   * @returns the function's value
   * @throws as `Bulkhead.run`; BulkheadRejectedError with a RedisUnavailableError as its cause when no permit can be had
   */
  run<Value>(fn: (context: DistributedCallContext) => PromiseLike<Value> | Value): Promise<Value>;
  run<Value>(
    options: RunOptions | undefined,
    fn: (context: DistributedCallContext) => PromiseLike<Value> | Value,
  ): Promise<Value>;
  run<Value>(
    ...args:
      | [(context: DistributedCallContext) => PromiseLike<Value> | Value]
      | [RunOptions | undefined, (context: DistributedCallContext) => PromiseLike<Value> | Value]
  ): Promise<Value> {
    const options = args.length === 1 ? undefined : args[0];
    const fn = args.length === 1 ? args[0] : args[1];
    if (typeof fn !== "function") throw new TypeError(`fn must be a function, got ${typeof fn}`);
    return this.#bulkhead.run(options, (context) => {
      this.#share.began();
      return fn(this.#fenced(context));
    });
  }

  /** The state in this process. */
  snapshot(): DistributedSnapshot {
    return { ...this.#bulkhead.snapshot(), held: this.#share.held, pods: this.#share.pods ?? null };
  }

  /** As `Bulkhead.drain`, and gives all permits back. */
  async drain(options: { readonly graceMs: number }): Promise<DrainReport> {
    const report = await this.#bulkhead.drain(options);
    await this.#share.close();
    return report;
  }

  /** Drains without a grace. */
  async close(): Promise<void> {
    await this.drain({ graceMs: 0 });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #fenced(context: CallContext): DistributedCallContext {
    const { resource, token } = this.#share;
    return {
      get signal() {
        return context.signal;
      },
      get remainingMs() {
        return context.remainingMs;
      },
      resource,
      token: token ?? noToken,
    };
  }

  #onUnreachable(error: Error, reject: boolean): void {
    if (this.#unreachable === undefined) this.#bulkhead.tellRedis("unreachable", error);
    this.#unreachable = error;
    this.#refusal = reject ? error : undefined;
    if (reject) this.#bulkhead.refuseWaiting(error);
  }

  #onReached(): void {
    if (this.#unreachable !== undefined) this.#bulkhead.tellRedis("reached");
    this.#unreachable = undefined;
    this.#refusal = undefined;
  }
}
