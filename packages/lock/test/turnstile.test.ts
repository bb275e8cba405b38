/** Locks that are taken and freed together: each caller has its own outcome, whatever becomes of the others. */
import { OutcomeUnknownError, RedisRefusedError, withAmbientDeadline } from "@holdfast/core";
import { FaultProxy, ManualClock, pollUntil } from "@holdfast/testkit";
import type { Redis } from "ioredis";
import { expect, it } from "vitest";
import type { Hold } from "../src/index.ts";
import { leaseOf } from "./lease-fixture.ts";
import { patientMs, useRealServer } from "./real-server.ts";

const real = useRealServer();
const names = ["a", "b", "c", "d"];

/** Scripts that clients asked for since the last call. */
async function scriptsSince(redis: Redis): Promise<number> {
  const stats = await redis.info("commandstats");
  await redis.config("RESETSTAT");
  return Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1] ?? 0);
}

function tokensOf(holds: readonly Hold[]): number[] {
  return holds.map(({ token }) => token);
}

it("L2 locks of one tick share a script, each is held by its own owner, and all are freed together", async () => {
  const lock = real.lock();
  await lock.withLock("warm-up", () => undefined);
  await scriptsSince(real.redis);
  const holds = await Promise.all(names.map((name) => lock.acquire(name)));
  expect(await scriptsSince(real.redis)).toBe(1);
  for (const [index, { token, owner }] of holds.entries())
    expect(await real.lock().inspect(names[index] as string)).toMatchObject({ token, owner });
  await scriptsSince(real.redis);
  expect(await Promise.all(holds.map((hold) => hold.release()))).toEqual(names.map(() => ({ kind: "released" })));
  expect(await scriptsSince(real.redis)).toBe(1);
  for (const name of names) expect(await lock.inspect(name)).toBeNull();
});

it("L2 twenty callers of one lock in one tick hold it one after the other", async () => {
  const lock = real.lock();
  let inside = 0;
  const tokens: number[] = [];
  const work = async ({ token }: Hold): Promise<void> => {
    inside += 1;
    expect(inside).toBe(1);
    await real.redis.ping();
    tokens.push(token);
    inside -= 1;
  };
  await Promise.all(Array.from({ length: 20 }, () => lock.withLock("a", { waitMs: 60_000 }, work)));
  expect(tokens).toHaveLength(20);
  expect(tokens).toEqual(tokens.toSorted((one, other) => one - other));
  expect(new Set(tokens).size).toBe(20);
});

it("K3 a key of another program fails its caller alone", async () => {
  const lock = real.lock();
  const { lease } = leaseOf(real.redis, "b").keys;
  await real.redis.rpush(lease, "x");
  await real.redis.pexpire(lease, 60_000);
  const [a, b, c] = await Promise.allSettled(["a", "b", "c"].map((name) => lock.tryAcquire(name)));
  expect([a?.status, c?.status]).toEqual(["fulfilled", "fulfilled"]);
  expect(b).toMatchObject({ status: "rejected", reason: expect.any(RedisRefusedError) as unknown });
  expect(b).toMatchObject({ reason: { reason: "WRONGTYPE", message: expect.stringContaining("lock:b") as unknown } });
});

it("a lock that the client's user may not touch fails its caller alone", async () => {
  await real.redis.acl("SETUSER", "guest", "on", ">guest", "~holdfast:{lock:mine*", "allchannels", "+@all");
  const lock = real.lock({ redis: real.client({ username: "guest", password: "guest" }) });
  const [mine, theirs] = await Promise.allSettled([lock.tryAcquire("mine-1"), lock.tryAcquire("theirs")]);
  expect(mine.status).toBe("fulfilled");
  expect(theirs).toMatchObject({ status: "rejected", reason: { reason: "NOPERM" } });
  // What it holds can be given back only as long as its user exists.
  await lock.close();
  await real.redis.acl("DELUSER", "guest");
});

it("L3 when the reply to all is lost, each gets its lock: the repeat has the same token", async () => {
  const proxy = await FaultProxy.start(real.server.address);
  const lock = real.lock({ redis: real.client({}, proxy.url) });
  await lock.withLock("warm-up", () => undefined);
  const fault = proxy.swallowReply(/lock:a/);
  const holds = await Promise.all(names.map((name) => lock.acquire(name)));
  expect(fault.hits).toBe(1);
  const stored = await Promise.all(names.map((name) => leaseOf(real.redis, name).record()));
  expect(stored.map((record) => record?.token)).toEqual(tokensOf(holds));
  for (const hold of holds) expect(await hold.release()).toEqual({ kind: "released" });
  for (const name of names) expect(await real.lock().inspect(name)).toBeNull();
  await proxy.close();
});

it("L3 when no reply comes, each caller is told of its own request, and all locks are free before their ttl", async () => {
  const proxy = await FaultProxy.start(real.server.address);
  const lock = real.lock({ redis: real.client({}, proxy.url), ttlMs: 60_000, commandTimeoutMs: 300 });
  await pollUntil("a warm-up is in time", () => lock.withLock("warm-up", () => true));
  proxy.blackhole("down");
  const outcomes = await Promise.allSettled(
    names.map((name) => lock.tryAcquire(name, { operationId: `operation-${name}` })),
  );
  for (const [index, outcome] of outcomes.entries()) {
    const reason = outcome.status === "rejected" ? (outcome.reason as unknown) : undefined;
    expect(reason).toBeInstanceOf(OutcomeUnknownError);
    expect(reason).toMatchObject({ operationId: `operation-${names[index]}` });
    expect((reason as Error).message).toContain(`lock.acquire lock:${names[index]}: `);
  }
  await proxy.heal();
  for (const name of names) await pollUntil(`${name} is free`, async () => (await real.lock().inspect(name)) === null);
  await proxy.close();
});

it("L3 who must leave before the others have their answer is told of its own request", async () => {
  const lock = real.lock();
  await lock.withLock("warm-up", () => undefined);
  const clock = new ManualClock();
  await real.redis.client("PAUSE", patientMs, "WRITE");
  const ask = (): Promise<unknown> => lock.tryAcquire("a", { operationId: "operation-a" });
  const hurried = withAmbientDeadline(patientMs, ask, clock).catch((error: unknown) => error);
  const patient = lock.acquire("b");
  await clock.advance(patientMs);
  expect(await hurried).toMatchObject({
    name: "OutcomeUnknownError",
    operationId: "operation-a",
    message: expect.stringContaining("lock.acquire lock:a: ") as unknown,
  });
  await real.redis.client("UNPAUSE");
  expect(await (await patient).release()).toEqual({ kind: "released" });
  await pollUntil("what it got is given back", async () => (await real.lock().inspect("a")) === null);
});

it("L6 a lock that was crowded asks the queue at once, until it is found free", async () => {
  const lock = real.lock();
  const holder = await lock.acquire("a");
  expect(await lock.tryAcquire("a")).toBeNull();
  await scriptsSince(real.redis);
  expect(await lock.tryAcquire("a")).toBeNull();
  expect(await scriptsSince(real.redis)).toBe(1);
  await holder.release();
  const again = await lock.acquire("a");
  expect(await scriptsSince(real.redis)).toBe(2);
  await again.release();
  expect(await leaseOf(real.redis).record()).toMatchObject({ sinceUs: 0, flag: "-" });
});
