/** Traps that shipped software fell into, by name. What belongs to one script or one fault has its test beside that. */
import { getEventListeners } from "node:events";
import { readFileSync } from "node:fs";
import { FaultProxy, pollUntil } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { Redis as Redis5 } from "ioredis5";
import { describe, expect, it } from "vitest";
import { advanceFence, defineFencedScript, fencedSet, resetFence } from "../src/guard/index.ts";
import { FencedLock } from "../src/index.ts";
import { leaseOf } from "./lease-fixture.ts";
import { patientMs, useRealServer } from "./real-server.ts";

const real = useRealServer();

describe("ioredis and the network", () => {
  it("a command whose reply is lost is applied twice by default: the lock is granted once, a guarded counter raised once", async () => {
    const proxy = await FaultProxy.start(real.server.address);
    const redis = real.client({}, proxy.url);
    const lock = real.lock({ redis });
    await lock.withLock("warm-up", () => undefined);
    const add = defineFencedScript({ name: "add", keys: ["counter"], source: 'return redis.call("INCR", KEYS[1])' });
    const warm = await lock.acquire("a");
    await add(redis, warm, { counter: "user:counter" }, {});
    const naive = proxy.swallowReply(/INCR user:naive/i);
    await redis.incr("user:naive");
    const guarded = proxy.swallowReply(/user:counter/);
    expect(await add(redis, warm, { counter: "user:counter" }, {})).toBe(2);
    expect([naive.hits, guarded.hits]).toEqual([1, 1]);
    // The counter-test is ioredis' own INCR.
    expect(await real.redis.get("user:naive")).toBe("2");
    expect(await real.redis.get("user:counter")).toBe("2");
    await warm.release();
    await proxy.close();
  });

  it("SCRIPT FLUSH between any two calls goes unnoticed", async () => {
    const lock = real.lock();
    const hold = await lock.acquire("a");
    await real.redis.script("FLUSH");
    await hold.renew();
    await real.redis.script("FLUSH");
    expect(await hold.release()).toEqual({ kind: "released" });
  });

  it("ioredis 5 works as ioredis 6 does", async () => {
    const redis = new Redis5(real.server.url);
    const lock = new FencedLock(redis, { ttlMs: 60_000, commandTimeoutMs: patientMs });
    const hold = await lock.acquire("a");
    const next = lock.withLock("a", (own) => own.token);
    await pollUntil("it waits", async () => (await leaseOf(real.redis).waiters()).length === 1);
    await fencedSet(redis, "user:v", "x", hold);
    await hold.release();
    expect(await next).toBeGreaterThan(hold.token);
    await lock.close();
    redis.disconnect();
  });
});

describe("Redis", () => {
  it("an evicted fence does not take the tokens back", async () => {
    const lock = real.lock();
    const tokens: number[] = [];
    for (let round = 0; round < 20; round += 1) {
      await lock.withLock("a", (hold) => {
        tokens.push(hold.token);
      });
      await real.redis.del(leaseOf(real.redis).keys.lease);
    }
    expect(tokens).toEqual(tokens.toSorted((a, b) => a - b));
    expect(new Set(tokens).size).toBe(20);
  });

  it("two tokens that differ in the sixteenth digit are not equal, on the whole way", async () => {
    const { lease } = leaseOf(real.redis).keys;
    const aheadUs = (await real.nowUs()) + 60_000_000;
    await real.redis.set(lease, `1${aheadUs}${"0".repeat(16)}00030000${"0".repeat(8)}-old`, "PX", 60_000);
    const lock = real.lock();
    const first = await lock.acquire("a");
    await first.release();
    const second = await lock.acquire("a");
    expect([first.token, second.token]).toEqual([aheadUs + 1, aheadUs + 2]);
    await fencedSet(real.redis, "user:v", "second", second);
    await expect(fencedSet(real.redis, "user:v", "first", first)).rejects.toMatchObject({ highest: aheadUs + 2 });
  });

  it("ACLs apply inside scripts: everything works for a user with exactly what the README lists", async () => {
    const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
    const rules = (/^ACL SETUSER service (.+)$/m.exec(readme)?.[1] ?? "").split(" ");
    expect(rules.length).toBeGreaterThan(10);
    await real.redis.acl("SETUSER", "service", "reset", ...rules, "~user:*");
    const redis = real.client({ username: "service", password: "secret" });
    const lock = real.lock({ redis, ttlMs: 60_000, durability: undefined });
    const hold = await lock.acquire("a");
    const waiting = lock.acquire("a");
    await pollUntil("it waits", async () => (await leaseOf(real.redis).waiters()).length === 1);
    await hold.renew();
    await fencedSet(redis, "user:v", "x", hold, { ttlMs: 1_000 });
    await advanceFence(redis, "user:v", hold);
    await resetFence(redis, "user:v", hold.resource);
    await hold.release();
    await (await waiting).release();
    expect(await lock.tryAcquire("a")).not.toBeNull();
    await lock.inspect("a");
    await lock.forceRelease("a");
    await expect(redis.get("other")).rejects.toThrow(/NOPERM/);
  });

  it("a channel that may not be published to does not undo a release", async () => {
    await real.redis.acl("SETUSER", "mute", "on", ">mute", "~*", "resetchannels", "+@all");
    const lock = real.lock({ redis: real.client({ username: "mute", password: "mute" }) });
    const hold = await lock.acquire("a");
    const waiting = real.lock().acquire("a");
    await pollUntil("it waits", async () => (await leaseOf(real.redis).waiters()).length === 1);
    expect(await hold.release()).toEqual({ kind: "released" });
    await (await waiting).release();
  });
});

describe("the process", () => {
  it("a long-lived signal keeps no listener, whether the wait ended in the lock, in a timeout or at once", async () => {
    const controller = new AbortController();
    const lock = real.lock();
    for (let round = 0; round < 200; round += 1)
      await lock.withLock("a", { signal: controller.signal }, () => undefined);
    const hold = await lock.acquire("a");
    await expect(lock.acquire("a", { signal: controller.signal, waitMs: 500 })).rejects.toThrow();
    await lock.tryAcquire("a", { signal: controller.signal });
    await hold.release();
    expect(getEventListeners(controller.signal, "abort")).toHaveLength(0);
  });

  it("50 waiters on one client raise no warning of a leak", async () => {
    const warnings: Error[] = [];
    const hear = (warning: Error): unknown => warnings.push(warning);
    process.on("warning", hear);
    const lock = real.lock();
    const holder = await real.lock().acquire("a");
    const waits = Array.from({ length: 50 }, () => lock.withLock("a", () => undefined));
    await pollUntil("they wait", async () => (await leaseOf(real.redis).waiters()).length === 50);
    await holder.release();
    await Promise.all(waits);
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    process.off("warning", hear);
    expect(warnings).toEqual([]);
  });
});

describe("other lock libraries", () => {
  it("renewal at a small ttl is no busy loop: two to four commands per ttl", async () => {
    const lock = real.lock({ ttlMs: 300 });
    // A stand-still of the machine ends the hold, and with it the renewals: then it is measured again.
    const { calls, ttls } = await pollUntil("a hold lasts for five ttls", async () => {
      const hold = await lock.acquire("a");
      await real.redis.config("RESETSTAT");
      const startMs = performance.now();
      await new Promise((resolve) => {
        setTimeout(resolve, 1_500);
      });
      const stats = await real.redis.info("commandstats");
      const found = { calls: Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1]), ttls: 0 };
      found.ttls = (performance.now() - startMs) / 300;
      const lasted = !hold.signal.aborted;
      await hold.release();
      return lasted && found;
    });
    expect(calls).toBeGreaterThan(5);
    expect(calls).toBeLessThan(4 * ttls + 5);
  });

  it("the token of an ex-holder is its own, not its successor's", async () => {
    const lock = real.lock();
    const first = await lock.acquire("a");
    const { token } = first;
    await lock.forceRelease("a");
    const second = await lock.acquire("a");
    expect(first.token).toBe(token);
    expect(second.token).toBeGreaterThan(token);
  });

  it("a holder that pauses between grant and token does not exist: both come from one script", async () => {
    const client = new Redis(real.server.url);
    await client.config("RESETSTAT");
    const lock = new FencedLock(client);
    const hold = await lock.tryAcquire("a");
    const stats = await client.info("commandstats");
    const scripts = [...stats.matchAll(/cmdstat_eval(?:sha)?:calls=(\d+),.*?rejected_calls=(\d+),failed_calls=(\d+)/g)];
    const worked = scripts.reduce((sum, [, calls, , failed]) => sum + Number(calls) - Number(failed), 0);
    expect(hold?.token).toBeGreaterThan(0);
    expect(worked).toBe(1);
    await lock.close();
    client.disconnect();
  });
});
