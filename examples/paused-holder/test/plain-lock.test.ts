import { RedisServer } from "@holdfast/testkit";
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
    const lock = await PlainLock.acquire(redis, "lock", 300, 1_000);
    await expect(PlainLock.acquire(redis, "lock", 300, 900)).rejects.toThrow("lock was not free");
    expect(lock.lostMs).toBeNull();
    await lock.release();
  });

  it("notices at the next renewal or at the release that it is lost, and leaves its successor's alone", async () => {
    const renewed = await PlainLock.acquire(redis, "lock", 150, 1_000);
    await redis.set("lock", "somebody else");
    await expect.poll(() => renewed.lostMs).not.toBeNull();
    await renewed.release();
    expect(await redis.get("lock")).toBe("somebody else");
    const released = await PlainLock.acquire(redis, "another", 60_000, 1_000);
    await redis.set("another", "somebody else");
    await released.release();
    expect(released.lostMs).not.toBeNull();
    expect(await redis.get("another")).toBe("somebody else");
  });
});
