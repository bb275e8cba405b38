/** FencedLock when the clock of the Redis host is stepped, back and forward. */
import { ClockSkew, RedisServer, Stopwatch } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { describe, expect, it } from "vitest";
import { fencedSet } from "../src/guard/index.ts";
import { FencedLock } from "../src/index.ts";
import { leaseOf } from "./lease-fixture.ts";
import { patientMs } from "./real-server.ts";

describe("the clock of the Redis host", () => {
  async function skewed(work: (lock: FencedLock, skew: ClockSkew, redis: Redis) => Promise<void>): Promise<void> {
    await using skew = await ClockSkew.create();
    await using server = await RedisServer.start({ env: skew.env });
    const redis = new Redis(server.url);
    const lock = new FencedLock(redis, { ttlMs: 500, fenceRetentionMs: 60_000, commandTimeoutMs: patientMs });
    try {
      await work(lock, skew, redis);
    } finally {
      await lock.close();
      redis.disconnect();
    }
  }

  it("L1 stepped back by an hour: tokens go on rising, also after the fence would have expired by its ttl", async () => {
    await skewed(async (lock, skew, redis) => {
      await skew.set(3_600_000);
      const ahead = await lock.acquire("a");
      await ahead.release();
      await skew.set(0);
      const second = await lock.acquire("a");
      expect(second.token).toBe(ahead.token + 1);
      await second.release();
      // Two retentions later by the clock that is right again.
      await skew.set(120_000);
      await redis.get("look");
      expect((await lock.acquire("a")).token).toBe(ahead.token + 2);
    });
  });

  it("K8 stepped back: a dead holder's lease ends after its own length, not after an hour", async () => {
    await skewed(async (lock, skew, redis) => {
      await leaseOf(redis).acquire("dead", { leaseMs: 500 });
      await skew.set(-3_600_000);
      using watch = Stopwatch.start();
      const hold = await lock.acquire("a", { waitMs: 50_000 });
      expect(watch.ranMs).toBeLessThan(5_000);
      await hold.release();
    });
  });

  it("L4 stepped forward: the lease is taken early, the tokens still order the two, the old holder is told", async () => {
    await skewed(async (lock, skew) => {
      const old = await lock.acquire("a", { ttlMs: 60_000 });
      await skew.set(61_000);
      const next = await lock.acquire("a", { ttlMs: 60_000 });
      expect(next.token).toBeGreaterThan(old.token);
      await expect(old.renew()).rejects.toMatchObject({ reason: "lost" });
      next.assertHeld();
    });
  });

  it("L1 when the record and the time are lost at once, a guard lets nobody behind the highest token write, until the clock has passed it", async () => {
    await skewed(async (lock, skew, redis) => {
      await skew.set(3_600_000);
      const old = await lock.acquire("a");
      await lock.forceRelease("a");
      const ahead = await lock.acquire("a");
      await fencedSet(redis, "user:v", "ahead", ahead);
      await ahead.release();
      // The one case in which tokens go back.
      await redis.del(leaseOf(redis).keys.lease);
      await skew.set(0);
      const next = await lock.acquire("a");
      expect(next.token).toBeLessThan(old.token);
      for (const behind of [old, next]) {
        const write = fencedSet(redis, "user:v", "behind", behind);
        await expect(write).rejects.toMatchObject({ name: "StaleTokenError", highest: ahead.token });
      }
      expect(await redis.get("user:v")).toBe("ahead");
      await next.release();
      await skew.set(3_660_000);
      const caughtUp = await lock.acquire("a");
      expect(caughtUp.token).toBeGreaterThan(ahead.token);
      await fencedSet(redis, "user:v", "caught up", caughtUp);
      expect(await redis.get("user:v")).toBe("caught up");
    });
  });

  it("L1 counter-test: a fence that expires by a ttl after a step back gives a lower token", async () => {
    await skewed(async (lock, skew, redis) => {
      await skew.set(3_600_000);
      const ahead = await lock.acquire("a");
      await ahead.release();
      await skew.set(0);
      await redis.pexpire(leaseOf(redis).keys.lease, 60_000);
      await skew.set(120_000);
      await redis.get("look");
      expect((await lock.acquire("a")).token).toBeLessThan(ahead.token);
    });
  });
});
