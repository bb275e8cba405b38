/** What the types promise; checked by the compiler, run by nobody. */
import type { Fenced } from "@holdfast/core";
import type { Cluster, Redis } from "ioredis";
import type { Cluster as Cluster5, Redis as Redis5 } from "ioredis5";
import { expectTypeOf } from "vitest";
import { defineFencedScript, fencedSet, FenceGate } from "../src/guard/index.ts";
import { FencedLock } from "../src/index.ts";
import type { Hold, LockEvent, LockState } from "../src/index.ts";
import { QuorumLock } from "../src/redlock/index.ts";
import type { QuorumAttempt } from "../src/redlock/index.ts";

declare const redis: Redis;
declare const cluster: Cluster;
declare const redis5: Redis5;
declare const cluster5: Cluster5;

// Clients of both major versions, single and Cluster.
for (const client of [redis, cluster, redis5, cluster5]) {
  expectTypeOf(new FencedLock(client)).toEqualTypeOf<FencedLock>();
  expectTypeOf(fencedSet).toBeCallableWith(client, "key", "value", { resource: "lock:a", token: 1 });
}
expectTypeOf(new QuorumLock([redis, redis, redis5])).toEqualTypeOf<QuorumLock>();

const lock = new FencedLock(redis);

// Options in the middle may be left out, and may be undefined.
expectTypeOf(lock.withLock("a", async () => 7)).toEqualTypeOf<Promise<number>>();
expectTypeOf(lock.withLock("a", () => "x")).toEqualTypeOf<Promise<string>>();
expectTypeOf(lock.withLock("a", undefined, () => true)).toEqualTypeOf<Promise<boolean>>();
expectTypeOf(lock.withLock("a", { waitMs: undefined, signal: undefined }, (hold) => hold.token)).toEqualTypeOf<
  Promise<number>
>();
expectTypeOf(lock.acquire("a")).toEqualTypeOf<Promise<Hold>>();
expectTypeOf(lock.tryAcquire("a")).toEqualTypeOf<Promise<Hold | null>>();
expectTypeOf(lock.inspect("a")).toEqualTypeOf<Promise<LockState | null>>();
expectTypeOf(lock.forceRelease("a")).toEqualTypeOf<Promise<number>>();
expectTypeOf(lock).toExtend<AsyncDisposable>();

// A hold is Fenced, read-only, and its release is a closed union.
expectTypeOf<Hold>().toExtend<Fenced>();
expectTypeOf<Hold["token"]>().toEqualTypeOf<number>();
expectTypeOf<Awaited<ReturnType<Hold["release"]>>["kind"]>().toEqualTypeOf<"released" | "lost">();

// @ts-expect-error an acquire that does not wait takes no wait
void lock.tryAcquire("a", { waitMs: 5 });
// @ts-expect-error a callback is needed
void lock.withLock("a", {});
// @ts-expect-error durations are numbers
void new FencedLock(redis, { ttlMs: "30s" });

// Keys and arguments of a fenced script by name.
const add = defineFencedScript({ name: "add", keys: ["ledger"], args: ["amount"], source: "return 1" });
expectTypeOf(add).toBeCallableWith(redis, { resource: "lock:a", token: 1 }, { ledger: "k" }, { amount: 1 });
// @ts-expect-error a key is missing
void add(redis, { resource: "lock:a", token: 1 }, {}, { amount: 1 });
// @ts-expect-error an argument has another name
void add(redis, { resource: "lock:a", token: 1 }, { ledger: "k" }, { amont: 1 });
const plain = defineFencedScript({ name: "plain", keys: ["a"], source: "return 1" });
expectTypeOf(plain).toBeCallableWith(redis, { resource: "lock:a", token: 1 }, { a: "k" }, {});

// A gate's effect is synchronous: nothing may come between the check and the effect.
const gate = new FenceGate();
expectTypeOf(gate.run({ resource: "lock:a", token: 1 }, () => 5)).toEqualTypeOf<number>();
// @ts-expect-error an effect that ends later is not guarded
void gate.run({ resource: "lock:a", token: 1 }, async () => 5);

// Unions are closed.
declare const event: LockEvent;
switch (event.type) {
  case "acquired":
  case "not-acquired":
  case "released":
  case "lost":
  case "renewal-failed":
  case "release-failed":
  case "force-released":
    break;
  default:
    expectTypeOf(event).toBeNever();
}
declare const attempt: QuorumAttempt;
if (attempt.kind === "acquired") expectTypeOf(attempt.hold).toEqualTypeOf<Hold>();
else expectTypeOf(attempt.kind).toEqualTypeOf<"refused" | "unreachable" | "skewed">();
