/** What the types promise; checked by the compiler, run by nobody. */
import type { Fenced, HoldfastError } from "@holdfast/core";
import type { Cluster, Redis } from "ioredis";
import type { Cluster as Cluster5, Redis as Redis5 } from "ioredis5";
import type { Pool, PoolClient } from "pg";
import { expectTypeOf } from "vitest";
import { Bulkhead, DistributedBulkhead, SharedBreaker, wrapFetch, wrapPool } from "../src/index.ts";
import type {
  BulkheadEvent,
  BulkheadRejectedError,
  CallContext,
  CallTimeoutError,
  DistributedCallContext,
  Outcome,
  PermitAdvice,
  RejectionReason,
} from "../src/index.ts";

declare const redis: Redis;
declare const cluster: Cluster;
declare const redis5: Redis5;
declare const cluster5: Cluster5;
declare const pool: Pool;

// Clients of both major versions, single and Cluster.
for (const client of [redis, cluster, redis5, cluster5]) {
  expectTypeOf(new DistributedBulkhead(client, "payments", { concurrencyMax: 4 })).toExtend<AsyncDisposable>();
  expectTypeOf(new SharedBreaker(client, "payments")).toExtend<AsyncDisposable>();
}

const one = new Bulkhead("payments");

// The value is the function's; options come before it, and may be left out or undefined.
expectTypeOf(one.run(() => 7)).toEqualTypeOf<Promise<number>>();
expectTypeOf(one.run(async () => "x")).toEqualTypeOf<Promise<string>>();
expectTypeOf(one.run({ signal: undefined, timeoutMs: undefined }, async () => true)).toEqualTypeOf<Promise<boolean>>();
expectTypeOf(one.run(undefined, async () => true)).toEqualTypeOf<Promise<boolean>>();
expectTypeOf(one.run((context) => context)).toEqualTypeOf<Promise<CallContext>>();
expectTypeOf<CallContext["signal"]>().toEqualTypeOf<AbortSignal>();
expectTypeOf<CallContext["remainingMs"]>().toEqualTypeOf<() => number>();
// @ts-expect-error a call without a function makes no sense
void one.run({});
// @ts-expect-error one of two words
void (() => new Bulkhead("payments", { queue: "random" }));

const shared = new DistributedBulkhead(redis, "payments", { concurrencyMax: 4, whenUnreachable: "local-share" });
expectTypeOf(shared.run((context) => context)).toEqualTypeOf<Promise<DistributedCallContext>>();
expectTypeOf(shared.run(undefined, () => 7)).toEqualTypeOf<Promise<number>>();
expectTypeOf<DistributedCallContext>().toExtend<Fenced>();
// @ts-expect-error a limit of all processes does not follow what one of them sees
void (() => new DistributedBulkhead(redis, "payments", { concurrencyMax: 4, adaptive: {} }));
// @ts-expect-error no call waits for what processes tell Redis about their permits
void (() => new DistributedBulkhead(redis, "payments", { concurrencyMax: 4, durability: {} }));
// @ts-expect-error nor for what they tell it about a breaker
void (() => new SharedBreaker(redis, "payments", { durability: { replicas: 1, timeoutMs: 100 } }));
// @ts-expect-error the events are those of the bulkhead that it serves
void (() => new SharedBreaker(redis, "payments", { onEvent: () => undefined }));
// @ts-expect-error it has no default
void (() => new DistributedBulkhead(redis, "payments", {}));

// Expected refusals and failures can be told apart by type, and say whether there may have been an effect.
expectTypeOf<BulkheadRejectedError>().toExtend<HoldfastError>();
expectTypeOf<BulkheadRejectedError["effect"]>().toEqualTypeOf<"none">();
expectTypeOf<CallTimeoutError["effect"]>().toEqualTypeOf<"possible">();
expectTypeOf<CallTimeoutError["dispatchedAfterMs"]>().toEqualTypeOf<number>();
expectTypeOf<RejectionReason>().toEqualTypeOf<
  "queue-timeout" | "rejected-full" | "rejected-deadline" | "rejected-open"
>();
expectTypeOf<Outcome>().toEqualTypeOf<RejectionReason | "success" | "slow" | "failed" | "timed-out" | "cancelled">();
expectTypeOf<PermitAdvice>().toExtend<{ neededPermits: number; becauseMs: number; perSecond: number }>();

// Events are one union: an exhaustive switch needs no default.
function nameOf(event: BulkheadEvent): string {
  switch (event.type) {
    case "call":
      return event.outcome;
    case "breaker":
      return event.state;
    case "limit":
      return event.because;
    case "retry":
    case "zombie-ended":
    case "leaked":
    case "classify-failed":
    case "redis":
      return event.bulkhead;
  }
}
expectTypeOf(nameOf).returns.toBeString();

// The wrappers have the types of what they wrap.
expectTypeOf(wrapFetch(one)("https://example.com")).toEqualTypeOf<Promise<Response>>();
expectTypeOf(wrapPool(one, pool).connect()).toEqualTypeOf<Promise<PoolClient>>();
expectTypeOf(wrapPool(one, pool).query).toEqualTypeOf<Pool["query"]>();
