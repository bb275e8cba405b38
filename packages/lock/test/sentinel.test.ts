/** FencedLock with Sentinel: what a failover leaves of a lock, and what it does not. */
import { pollUntil, RedisSentinel } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, it } from "vitest";
import { fencedSet, StaleTokenError } from "../src/guard/index.ts";
import { FencedLock } from "../src/index.ts";
import { patientMs } from "./real-server.ts";

let sentinel: RedisSentinel;
let redis: Redis;

beforeAll(async () => {
  sentinel = await RedisSentinel.start();
  redis = new Redis(sentinel.clientOptions);
  redis.on("error", () => undefined);
}, 60_000);
afterAll(async () => {
  redis.disconnect();
  await sentinel.stop();
});

it("L1 L2 goes over to the new master with its lease and its fence, when they were replicated", async () => {
  const lock = new FencedLock(redis, {
    ttlMs: 600_000,
    commandTimeoutMs: patientMs,
    durability: { replicas: 2, timeoutMs: patientMs },
  });
  const before = await lock.acquire("a");
  await sentinel.failover();
  await sentinel.waitForClient(redis);
  expect(await lock.inspect("a")).toMatchObject({ token: before.token, owner: before.owner });
  await pollUntil("the new master has a replica", () => before.renew().then(() => true), {
    timeoutMs: 60_000,
    intervalMs: 100,
  });
  before.assertHeld();
  await before.release();
  expect((await lock.acquire("a")).token).toBeGreaterThan(before.token);
  await lock.close();
}, 180_000);

it("L1 L4 a grant that the failover takes back: two overlap, the tokens order them, and the old holder is told", async () => {
  await sentinel.ready();
  const lock = new FencedLock(redis, { ttlMs: 8_000, commandTimeoutMs: patientMs });
  const master = await sentinel.currentMaster();
  const replicas = sentinel.servers.filter((server) => server !== master && server.isRunning);
  // Replicas that cannot follow their master do not see the grant before it dies.
  const password = (value: string) =>
    Promise.all(replicas.map((replica) => replica.call("CONFIG", "SET", "masterauth", value)));
  await password("wrong");
  await pollUntil("no replica follows", async () => {
    await master.call("CLIENT", "KILL", "TYPE", "replica");
    return String(await master.call("INFO", "replication")).includes("connected_slaves:0");
  });
  const old = await lock.acquire("b");
  await master.kill();
  await password("");
  await sentinel.waitForFailover(master);
  const next = await lock.acquire("b", { waitMs: 60_000, ttlMs: 60_000 });
  expect(next.token).toBeGreaterThan(old.token);
  await pollUntil("the old holder is told", () => old.signal.aborted);
  expect(await old.release()).toEqual({ kind: "lost" });
  next.assertHeld();
  // Both may have worked: what the resource takes is in the order of the tokens.
  const patient = { commandTimeoutMs: patientMs };
  await fencedSet(redis, "user:b", "next", next, patient);
  await expect(fencedSet(redis, "user:b", "old", old, patient)).rejects.toBeInstanceOf(StaleTokenError);
  expect(await redis.get("user:b")).toBe("next");
  await lock.close();
}, 180_000);

it("L3 L6 whoever waits while the master fails over has the lock in the end, and whoever gave up has left no waiter", async () => {
  await sentinel.ready();
  await sentinel.waitForClient(redis);
  const other = redis.duplicate();
  other.on("error", () => undefined);
  const options = { ttlMs: 600_000, commandTimeoutMs: patientMs };
  const [lock, waiting] = [new FencedLock(redis, options), new FencedLock(other, options)];
  const hold = await lock.acquire("c");
  const next = waiting.acquire("c", { waitMs: 120_000 });
  const controller = new AbortController();
  const gone = waiting.acquire("c", { waitMs: 120_000, signal: controller.signal }).catch((error: unknown) => error);
  await pollUntil("both wait", async () => (await lock.inspect("c"))?.waiters === 2, { timeoutMs: 60_000 });
  const failedOver = sentinel.failover();
  controller.abort(new Error("no longer wanted"));
  expect(await gone).toMatchObject({ message: "no longer wanted" });
  await failedOver;
  // What the old master is told once its successor is chosen is lost: a lock given back there is held until its ttl is over.
  await sentinel.waitForClient(redis);
  await pollUntil("it is given back", async () => ["released", "lost"].includes((await hold.release()).kind), {
    timeoutMs: 60_000,
  });
  const held = await next;
  expect(held.token).toBeGreaterThan(hold.token);
  await pollUntil("nobody waits", async () => (await lock.inspect("c"))?.waiters === 0, { timeoutMs: 60_000 });
  await held.release();
  await Promise.all([lock.close(), waiting.close()]);
  other.disconnect();
}, 180_000);

it("L2 L5 behind Sentinel as on one server: tryAcquire, an operator's release, a cancelled wait, close", async () => {
  await sentinel.ready();
  await sentinel.waitForClient(redis);
  const options = { ttlMs: 600_000, commandTimeoutMs: patientMs };
  const [ann, bob] = [new FencedLock(redis, options), new FencedLock(redis, options)];
  const old = await ann.acquire("d");
  expect(await bob.tryAcquire("d")).toBeNull();
  const controller = new AbortController();
  const cancelled = bob.acquire("d", { waitMs: 120_000, signal: controller.signal }).catch((error: unknown) => error);
  await pollUntil("it waits", async () => (await ann.inspect("d"))?.waiters === 1, { timeoutMs: 60_000 });
  controller.abort(new Error("no longer wanted"));
  expect(await cancelled).toMatchObject({ message: "no longer wanted" });
  await pollUntil("nobody waits", async () => (await ann.inspect("d"))?.waiters === 0, { timeoutMs: 60_000 });
  const burned = await bob.forceRelease("d");
  const next = await bob.tryAcquire("d");
  expect([burned > old.token, (next?.token ?? 0) > burned]).toEqual([true, true]);
  await expect(old.renew()).rejects.toMatchObject({ reason: "lost" });
  expect(await ann.inspect("d")).toMatchObject({ token: next?.token });
  await bob.close();
  expect(next?.signal.reason).toMatchObject({ reason: "closed" });
  expect(await ann.withLock("d", (hold) => hold.token > burned)).toBe(true);
  await ann.close();
}, 180_000);
