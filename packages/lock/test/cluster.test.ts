/** FencedLock on a Redis Cluster: every key of a lock in one slot, hints by sharded channels, failover and resharding under way. */
import { ClosedError, slotOf } from "@holdfast/core";
import { FaultProxy, LeapClock, pollUntil, RedisCluster } from "@holdfast/testkit";
import { Cluster } from "ioredis";
import type { ClusterOptions, Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { defineFencedScript, fencedSet, StaleTokenError } from "../src/guard/index.ts";
import { FencedLock, LockLostError, LockTimeoutError } from "../src/index.ts";
import type { LockEvent, LockOptions } from "../src/index.ts";
import { lockKeys } from "../src/keys.ts";
import { patientMs } from "./real-server.ts";
import { leaseOf } from "./lease-fixture.ts";

let cluster: RedisCluster;
const clients: Cluster[] = [];
const locks: FencedLock[] = [];

beforeAll(async () => {
  cluster = await RedisCluster.start();
}, 120_000);
afterEach(async () => {
  await Promise.all(locks.splice(0).map((lock) => lock.close()));
  for (const client of clients.splice(0)) client.disconnect();
});
afterAll(() => cluster.stop());

function clientOf(options: Pick<ClusterOptions, "natMap"> = {}): Cluster {
  const client = new Cluster(cluster.addresses, options);
  client.on("error", () => undefined);
  clients.push(client);
  return client;
}

function lockOf(options: LockOptions = {}, redis: Cluster = clientOf()): FencedLock {
  const lock = new FencedLock(redis, { commandTimeoutMs: patientMs, ...options });
  locks.push(lock);
  return lock;
}

describe("on a Cluster", () => {
  it("L2 L4 a node that does not answer costs nobody on another node the lock", async () => {
    // Nobody takes the place of a node that is silent here.
    await using servers = await RedisCluster.start({ replicasPerMaster: 0, nodeTimeoutMs: 60_000 });
    const nodeOf = (name: string): ReturnType<RedisCluster["masterOf"]> =>
      servers.masterOf(lockKeys("holdfast", name).lease);
    const well = await nodeOf("n0");
    let other = "n1";
    for (let index = 2; (await nodeOf(other)).port === well.port; index += 1) other = `n${index}`;
    const sick = await nodeOf(other);
    const clock = new LeapClock();
    const redis = new Cluster(servers.addresses);
    redis.on("error", () => undefined);
    clients.push(redis);
    const lock = lockOf({ ttlMs: 60_000, clock, commandTimeoutMs: 30_000 }, redis);
    // Each on a connection that is there, so that both are renewed in one tick.
    for (const name of ["n0", other]) await lock.withLock(name, () => undefined);
    const [held, unanswered] = await Promise.all([lock.acquire("n0"), lock.acquire(other)]);
    sick.pause();
    try {
      for (let thirds = 0; thirds < 5; thirds += 1) {
        const before = held.remainingMs();
        clock.leap(20_100);
        await pollUntil("it is renewed, or lost", () => held.signal.aborted || held.remainingMs() >= before - 100);
      }
      expect(held.signal.aborted).toBe(false);
      expect(unanswered.signal.aborted).toBe(true);
    } finally {
      sick.resume();
    }
    expect(await held.release()).toEqual({ kind: "released" });
  });

  it("L1 L2 contending clients hold one at a time, tokens rise, on names in many slots", async () => {
    const [ann, bob] = [lockOf(), lockOf()];
    const names = Array.from({ length: 20 }, (_, index) => `job:${index}`);
    await Promise.all(
      names.map(async (name) => {
        const tokens: number[] = [];
        let inside = 0;
        const work = async (lock: FencedLock): Promise<void> => {
          for (let round = 0; round < 5; round += 1) {
            await lock.withLock(name, { waitMs: 60_000 }, async (hold) => {
              inside += 1;
              expect(inside).toBe(1);
              tokens.push(hold.token);
              await Promise.resolve();
              inside -= 1;
            });
          }
        };
        await Promise.all([work(ann), work(bob)]);
        expect(tokens).toEqual(tokens.toSorted((a, b) => a - b));
        expect(new Set(tokens).size).toBe(10);
      }),
    );
  });

  it("L6 hands over by a sharded hint, faster than any poll", async () => {
    const events: LockEvent[] = [];
    const waiting = lockOf({ waiterLapseMs: 60_000, onEvent: (event) => events.push(event) });
    const holder = lockOf({ waiterLapseMs: 60_000 });
    for (let round = 0; round < 3; round += 1) {
      const hold = await holder.acquire("handed");
      const next = waiting.acquire("handed", { waitMs: 60_000 });
      await pollUntil("it waits", async () => (await holder.inspect("handed"))?.waiters === 1);
      if (round === 0) {
        const { queue } = lockKeys("holdfast", "handed");
        const master = await cluster.masterOf(queue);
        await pollUntil(
          "it listens",
          async () => ((await master.call("PUBSUB", "SHARDCHANNELS", `${queue}:*`)) as string[]).length === 1,
        );
      }
      await hold.release();
      await (await next).release();
    }
    expect(events.filter((event) => event.type === "acquired" && event.handedOver).length).toBeGreaterThanOrEqual(2);
  });

  it("L3 a wait that is cancelled, or ends, leaves no waiter and no lock that nobody knows of", async () => {
    const holder = await lockOf().acquire("left");
    const lock = lockOf();
    const waiters = async (): Promise<number> => (await lock.inspect("left"))?.waiters ?? -1;
    const reason = new Error("no longer wanted");
    const controller = new AbortController();
    const cancelled = lock.acquire("left", { signal: controller.signal }).catch((error: unknown) => error);
    await pollUntil("it waits", async () => (await waiters()) === 1);
    controller.abort(reason);
    expect(await cancelled).toBe(reason);
    await expect(lock.acquire("left", { waitMs: 50 })).rejects.toBeInstanceOf(LockTimeoutError);
    await pollUntil("nobody waits", async () => (await waiters()) === 0);
    await holder.release();
    expect(await lock.tryAcquire("left")).not.toBeNull();
  });

  it("L3 a lost reply to acquire gives the caller the lock: the repeat gets the same token", async () => {
    const home = await cluster.masterOf(lockKeys("holdfast", "lost").lease);
    const proxy = await FaultProxy.start(home.address);
    const natMap = { [`${home.host}:${home.port}`]: { host: proxy.host, port: proxy.port } };
    const redis = clientOf({ natMap });
    const lock = lockOf({}, redis);
    try {
      await lock.withLock("lost", () => undefined);
      const fault = proxy.swallowReply(/lock:lost/);
      const hold = await lock.acquire("lost");
      expect(fault.hits).toBe(1);
      expect(await lockOf().inspect("lost")).toMatchObject({ token: hold.token, owner: hold.owner });
      expect(await hold.release()).toEqual({ kind: "released" });
    } finally {
      await lock.close();
      redis.disconnect();
      await proxy.close();
    }
  });

  it("L2 L5 tryAcquire, forceRelease and a holder that was put out: its successor's lease stays as it is", async () => {
    const [ann, bob] = [lockOf(), lockOf()];
    const old = await ann.acquire("forced");
    expect(await bob.tryAcquire("forced")).toBeNull();
    const burned = await ann.forceRelease("forced", { operationId: "op-1" });
    expect(burned).toBeGreaterThan(old.token);
    expect(await ann.forceRelease("forced", { operationId: "op-1" })).toBe(burned);
    const next = await bob.tryAcquire("forced");
    expect(next?.token).toBeGreaterThan(burned);
    await expect(old.renew()).rejects.toMatchObject({ reason: "lost" });
    expect(() => old.assertHeld()).toThrow(LockLostError);
    expect(await old.release()).toEqual({ kind: "lost" });
    expect(await ann.inspect("forced")).toMatchObject({ token: next?.token, owner: next?.owner });
    await next?.renew();
  });

  it("L6 a dead waiter is skipped, and close ends waits and gives holds back", async () => {
    const [lock, waits] = [lockOf(), lockOf()];
    const hold = await lock.acquire("closing");
    // Nobody is behind this one.
    const dead = leaseOf(clientOf() as unknown as Redis, "closing").acquire("dead", { waits: true, lapseMs: 5_000 });
    expect(await dead).toMatch(/^waiting/);
    const next = waits.acquire("closing", { waitMs: 60_000 });
    await pollUntil("it waits", async () => (await lock.inspect("closing"))?.waiters === 2);
    await lock.close();
    expect(hold.signal.reason).toMatchObject({ reason: "closed" });
    expect((await next).token).toBeGreaterThan(hold.token);
    const refused = waits.acquire("closing", { waitMs: 60_000 }).catch((error: unknown) => error);
    await pollUntil("it waits", async () => (await waits.inspect("closing"))?.waiters === 1);
    await waits.close();
    expect(await refused).toBeInstanceOf(ClosedError);
    expect(await lockOf().tryAcquire("closing")).not.toBeNull();
  });

  it("a guard stands in the slot of the key it protects", async () => {
    const redis = clientOf();
    const lock = lockOf({}, redis);
    const first = await lock.acquire("a");
    await first.release();
    const second = await lock.acquire("a");
    for (const key of ["user:1", "user:2", "{user:3}:x", "user{4}"]) {
      await fencedSet(redis, key, "new", second);
      await expect(fencedSet(redis, key, "old", first)).rejects.toBeInstanceOf(StaleTokenError);
    }
    const add = defineFencedScript({
      name: "add",
      keys: ["a", "b"],
      source: 'redis.call("INCR", KEYS[2])\nreturn redis.call("INCR", KEYS[1])',
    });
    expect(await add(redis, second, { a: "{user:9}:a", b: "{user:9}:b" }, {})).toBe(1);
    await expect(add(redis, second, { a: "user:9", b: "user:10" }, {})).rejects.toThrow(/slot/);
  });

  it("goes on while its slot moves to another node", async () => {
    const lock = lockOf({ ttlMs: 60_000 });
    const hold = await lock.acquire("moving");
    const masters = await cluster.masters();
    const home = await cluster.masterOf(lockKeys("holdfast", "moving").lease);
    const target = masters.find((master) => master.port !== home.port);
    if (target === undefined) throw new Error("a Cluster has several masters");
    const { slotOfKey } = await import("@holdfast/testkit");
    await cluster.moveSlots([slotOfKey(lockKeys("holdfast", "moving").lease)], target);
    await hold.renew();
    expect(await lock.inspect("moving")).toMatchObject({ token: hold.token });
    expect(await hold.release()).toEqual({ kind: "released" });
    expect((await lock.acquire("moving")).token).toBeGreaterThan(hold.token);
  });

  it("L1 L4 a failover: the holder is renewed or told in time, and the next token is higher", async () => {
    const lock = lockOf({ ttlMs: 60_000 });
    const before = await lock.acquire("failing");
    const home = await cluster.masterOf(lockKeys("holdfast", "failing").lease);
    await cluster.failover(home);
    const state = await pollUntil("the new master answers", async () => {
      const found = await lock.inspect("failing").catch(() => undefined);
      return found === undefined ? null : { found };
    });
    if (state.found?.token === before.token) {
      await before.renew();
      before.assertHeld();
      await before.release();
    } else {
      await expect(before.renew()).rejects.toMatchObject({ reason: "lost" });
    }
    expect((await lock.acquire("failing", { waitMs: 60_000 })).token).toBeGreaterThan(before.token);
  });

  it("L3 L6 whoever waits while the master of the slot dies has the lock in the end, and whoever gave up has left no waiter", async () => {
    const [lock, waiting] = [lockOf({ ttlMs: 600_000 }), lockOf({ ttlMs: 600_000 })];
    const { lease } = lockKeys("holdfast", "dying");
    const hold = await lock.acquire("dying");
    const next = waiting.acquire("dying", { waitMs: 120_000 });
    const controller = new AbortController();
    const { signal } = controller;
    const gone = waiting.acquire("dying", { waitMs: 120_000, signal }).catch((error: unknown) => error);
    const waiters = async (): Promise<number> => (await lock.inspect("dying").catch(() => null))?.waiters ?? -1;
    await pollUntil("both wait", async () => (await waiters()) === 2, { timeoutMs: 60_000 });
    const home = await cluster.masterOf(lease);
    await home.kill();
    controller.abort(new Error("no longer wanted"));
    expect(await gone).toMatchObject({ message: "no longer wanted" });
    await cluster.waitForNewMaster(slotOf(lease), home);
    await pollUntil("it is given back", () => hold.release().catch(() => undefined), { timeoutMs: 60_000 });
    const held = await next;
    expect(held.token).toBeGreaterThan(hold.token);
    await pollUntil("nobody waits", async () => (await waiters()) === 0, { timeoutMs: 60_000 });
    await held.release();
    await home.restart();
  });
});
