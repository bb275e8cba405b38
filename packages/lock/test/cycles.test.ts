/** Nothing piles up: 100,000 cycles of acquire and release, and 10,000 names. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { pollUntil } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import type { FencedLock } from "../src/index.ts";
import { useRealServer } from "./real-server.ts";

const real = useRealServer();

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

function heapBytes(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

async function cycles(lock: FencedLock, count: number, names: number): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < count) {
      const name = `n${next % names}`;
      next += 1;
      const hold = await lock.acquire(name);
      await hold.release();
    }
  };
  await Promise.all(Array.from({ length: 64 }, work));
}

describe("after many cycles", () => {
  it("L7 100,000 of them leave the heap flat, and no listener, timer or key behind", async () => {
    const redis = real.client();
    const lock = real.lock({ redis });
    await cycles(lock, 10_000, 200);
    const timersBefore = process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
    const listenersBefore = redis.eventNames().map((event) => redis.listenerCount(event));
    const before = heapBytes();
    await cycles(lock, 100_000, 200);
    const after = heapBytes();
    // A kept object of 64 bytes per cycle would be 6.4 MB.
    expect(after - before).toBeLessThan(3_000_000);
    expect(redis.eventNames().map((event) => redis.listenerCount(event))).toEqual(listenersBefore);
    expect(process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length).toBeLessThanOrEqual(
      timersBefore,
    );
    await lock.close();
    expect(await real.redis.dbsize()).toBe(200);
    const ends = await Promise.all((await real.redis.keys("*")).map((key) => real.redis.pttl(key)));
    expect(Math.min(...ends)).toBeGreaterThan(0);
    expect(Math.max(...ends)).toBeLessThanOrEqual(630_000);
  }, 120_000);

  it("10,000 names leave bounded memory behind: one small key each, gone after the retention", async () => {
    const lock = real.lock({ fenceRetentionMs: 60_000 });
    const used = async (): Promise<number> => Number(/used_memory:(\d+)/.exec(await real.redis.info("memory"))?.[1]);
    await cycles(lock, 100, 100);
    const before = await used();
    await cycles(lock, 10_000, 10_000);
    const perName = ((await used()) - before) / 10_000;
    expect(await real.redis.dbsize()).toBe(10_000);
    expect(perName).toBeLessThan(400);
    console.log(`${Math.round(perName)} bytes per name that was locked within the retention`);
    const ends = await Promise.all((await real.redis.keys("*")).slice(0, 500).map((key) => real.redis.pttl(key)));
    expect(Math.max(...ends)).toBeLessThanOrEqual(90_000);
    // As if the retention were over.
    const expiring = real.redis.pipeline();
    for (const key of await real.redis.keys("*")) expiring.pexpire(key, 1);
    await expiring.exec();
    await pollUntil("all keys are gone", async () => (await real.redis.dbsize()) === 0);
  });

  it("10,000 names leave nothing in the process either, not even when all were waited for", async () => {
    const lock = real.lock();
    const other = real.lock();
    const wave = async (offset: number): Promise<void> => {
      const names = Array.from({ length: 500 }, (_, index) => `w${offset + index}`);
      const holds = await Promise.all(names.map((name) => lock.acquire(name)));
      const waits = names.map((name) => other.withLock(name, () => undefined));
      await Promise.all(holds.map((hold) => hold.release()));
      await Promise.all(waits);
    };
    await wave(0);
    const before = heapBytes();
    for (let offset = 500; offset < 10_500; offset += 500) await wave(offset);
    // Subscriptions linger for two seconds after their last waiter.
    await pollUntil(
      "nobody listens any more",
      async () => ((await real.redis.pubsub("CHANNELS")) as string[]).length === 0,
      { timeoutMs: 20_000 },
    );
    expect(heapBytes() - before).toBeLessThan(3_000_000);
  }, 60_000);
});
