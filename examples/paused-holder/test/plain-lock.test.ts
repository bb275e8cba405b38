import { pollUntil, RedisServer } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { PlainLock } from "../src/plain-lock.ts";

let server: RedisServer;
let redis: Redis;
beforeAll(async () => {
  server = await RedisServer.start();
  redis = new Redis(server.url);
});
beforeEach(() => redis.flushall());
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

/** The scenario would prove little if the usual lock were a bad one. */
describe("the usual lock", () => {
  it("keeps others out until it is given back", async () => {
    const first = await PlainLock.acquire(redis, "lock", 60_000, 1_000);
    await expect(PlainLock.acquire(redis, "lock", 60_000, 100)).rejects.toThrow("lock was not free");
    await first.release();
    expect(first.lostMs).toBeNull();
    await (await PlainLock.acquire(redis, "lock", 60_000, 1_000)).release();
    expect(await redis.exists("lock")).toBe(0);
  });

  it("is renewed for as long as its holder runs", async () => {
    // So long that a machine which stands still for a while renews in time all the same.
    const lock = await PlainLock.acquire(redis, "lock", 9_000, 1_000);
    let before = await redis.pttl("lock");
    await pollUntil(
      "it is renewed",
      async () => {
        const [leftMs, lastMs] = [await redis.pttl("lock"), before];
        before = leftMs;
        return leftMs > lastMs;
      },
      { timeoutMs: 60_000 },
    );
    expect(lock.lostMs).toBeNull();
    await lock.release();
  });

  it("notices at the next renewal or at the release that it is lost, and leaves its successor's alone", async () => {
    const renewed = await PlainLock.acquire(redis, "lock", 150, 1_000);
    await redis.set("lock", "somebody else");
    await pollUntil("it has noticed", () => renewed.lostMs !== null, { timeoutMs: 60_000 });
    await renewed.release();
    expect(await redis.get("lock")).toBe("somebody else");
    const released = await PlainLock.acquire(redis, "another", 60_000, 1_000);
    await redis.set("another", "somebody else");
    await released.release();
    expect(released.lostMs).not.toBeNull();
    expect(await redis.get("another")).toBe("somebody else");
  });
});
