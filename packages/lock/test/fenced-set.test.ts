/** fenced-set.lua and its wrapper. */
import { OutcomeUnknownError } from "@holdfast/core";
import { FaultProxy } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { fencedSet, StaleTokenError } from "../src/guard/index.ts";
import { fencedSet as source } from "../src/scripts.generated.ts";
import { runRaw } from "./raw-script.ts";
import type { RawInputs } from "./raw-script.ts";
import { useRealServer } from "./real-server.ts";

const real = useRealServer();
const keys = { key: "user:v", fence: "holdfast:{user:v}:guard:lock:a", first: "holdfast:{user:v}:guard:first:1" };

function set(token: number, value: string, more: RawInputs = {}): Promise<unknown> {
  return runRaw(real.redis, source, keys, {
    token: String(token).padStart(16, "0"),
    guardRetentionMs: 60_000,
    repeatWithinMs: 30_000,
    value,
    ttlMs: 0,
    ...more,
  });
}

describe("the script", () => {
  it("sets and remembers the highest token; equal ones pass, lower ones do not", async () => {
    const nowUs = await real.nowUs();
    expect(await set(nowUs, "one")).toEqual(["done"]);
    await real.redis.del(keys.first);
    expect(await set(nowUs, "two")).toEqual(["done"]);
    await real.redis.del(keys.first);
    expect(await set(nowUs - 1, "stale")).toEqual(["stale", String(nowUs)]);
    expect(await real.redis.get(keys.key)).toBe("two");
    expect(await real.redis.pttl(keys.fence)).toBeGreaterThan(59_000);
  });

  it("K1 a repeat is answered as before and writes nothing, also when a higher token has been there since", async () => {
    const nowUs = await real.nowUs();
    await set(nowUs, "one");
    await real.redis.set(keys.key, "other");
    expect(await set(nowUs, "one")).toEqual(["done"]);
    await real.redis.set(keys.fence, `1${nowUs + 5}`, "PX", 60_000);
    expect(await set(nowUs, "one")).toEqual(["done"]);
    expect(await real.redis.get(keys.key)).toBe("other");
    expect(await real.redis.pttl(keys.first)).toBeGreaterThan(29_000);
  });

  it("K1 does nothing after its bound", async () => {
    expect(((await set(await real.nowUs(), "late", { notAfterUs: 1 })) as string[])[0]).toBe("too-late");
    expect(await real.redis.exists(keys.key, keys.fence, keys.first)).toBe(0);
  });

  it("refuses a token that is older than the guard remembers, also when it has forgotten everything", async () => {
    const nowUs = await real.nowUs();
    const [tag, oldest] = (await set(nowUs - 60_001_000, "zombie")) as string[];
    expect(tag).toBe("too-old");
    expect(Number(oldest)).toBeGreaterThanOrEqual(nowUs - 60_000_000);
    expect(await real.redis.exists(keys.key)).toBe(0);
  });

  it("K5 remembers for as long as the longest memory that has let something through, whoever comes later with a shorter one", async () => {
    const nowUs = await real.nowUs();
    await set(nowUs - 5_000_000, "long", { guardRetentionMs: 86_400_000 });
    const endMs = await real.redis.pexpiretime(keys.fence);
    await real.redis.del(keys.first);
    await set(nowUs, "short", { guardRetentionMs: 1_000 });
    expect(await real.redis.pexpiretime(keys.fence)).toBeGreaterThanOrEqual(endMs);
    await real.redis.del(keys.first);
    expect(await set(nowUs - 5_000_000, "stale", { guardRetentionMs: 86_400_000 })).toEqual(["stale", String(nowUs)]);
  });

  it("K5 remembers a token ahead of the clock until its time as such is past", async () => {
    await set((await real.nowUs()) + 3_600_000_000, "ahead");
    expect(await real.redis.pttl(keys.fence)).toBeGreaterThan(3_600_000 + 59_000);
  });

  it("gives the value an end when asked to, and none otherwise", async () => {
    await set(await real.nowUs(), "short", { ttlMs: 5_000 });
    expect(await real.redis.pttl(keys.key)).toBeGreaterThan(4_000);
    await real.redis.del(keys.first);
    await set(await real.nowUs(), "long");
    expect(await real.redis.pttl(keys.key)).toBe(-1);
  });

  it("refuses a fence of a newer format", async () => {
    await real.redis.set(keys.fence, "2x", "PX", 10_000);
    expect(((await set(await real.nowUs(), "x")) as string[])[0]).toBe("newer-format");
  });
});

describe("fencedSet", () => {
  it("tells the stale writer which token has been there, and that nothing was written", async () => {
    const lock = real.lock();
    const first = await lock.acquire("a");
    await first.release();
    const second = await lock.acquire("a");
    await fencedSet(real.redis, "user:v", "new", second);
    const error = await fencedSet(real.redis, "user:v", "old", first).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(StaleTokenError);
    expect(error).toMatchObject({
      token: first.token,
      highest: second.token,
      effect: "none",
      reason: "superseded",
      code: "STALE_TOKEN",
    });
    expect(await real.redis.get("user:v")).toBe("new");
  });

  it("keeps bytes as they are and guards keys of one tag together", async () => {
    const bytes = Buffer.from([0, 255, 10, 13, 128]);
    const token = await real.nowUs();
    await fencedSet(real.redis, "{user}:a", bytes, { resource: "lock:a", token: token + 1 });
    expect(await real.redis.getBuffer("{user}:a")).toEqual(bytes);
    await expect(fencedSet(real.redis, "{user}:b", "x", { resource: "lock:a", token })).rejects.toBeInstanceOf(
      StaleTokenError,
    );
    await fencedSet(real.redis, "{user}:b", "x", { resource: "lock:b", token });
  });

  it("K1 an operation id names one write for each key and resource", async () => {
    const fenced = { resource: "lock:a", token: await real.nowUs() };
    const once = { operationId: "pay-7" };
    await fencedSet(real.redis, "{user:7}:head", "h", fenced, once);
    await fencedSet(real.redis, "{user:7}:lines", "l", fenced, once);
    expect(await real.redis.mget("{user:7}:head", "{user:7}:lines")).toEqual(["h", "l"]);
    await fencedSet(real.redis, "{user:7}:head", "other", { ...fenced, resource: "lock:b" }, once);
    await fencedSet(real.redis, "{user:7}:lines", "again", fenced, once);
    expect(await real.redis.mget("{user:7}:head", "{user:7}:lines")).toEqual(["other", "l"]);
  });

  it("K1 remembers its first answer for as long as its request may arrive, however short a repeat is meant to be", async () => {
    const fenced = { resource: "lock:a", token: await real.nowUs() };
    const options = { operationId: "pay-7", commandTimeoutMs: 120_000, repeatWithinMs: 1_000 };
    await fencedSet(real.redis, "user:v", "one", fenced, options);
    const [first = "none"] = await real.redis.keys("holdfast:{user:v}:guard:first:pay-7:*");
    expect(await real.redis.pttl(first)).toBeGreaterThan(110_000);
  });

  it("a hold that can last longer than the guard remembers is a mistake, found at the first write", async () => {
    const hold = await real.lock({ holdMaxMs: 120_000 }).acquire("a");
    await expect(fencedSet(real.redis, "user:v", "x", hold, { guardRetentionMs: 60_000 })).rejects.toThrow(
      /guardRetentionMs must be at least/,
    );
  });

  it.each([
    ["a key without a place for ours", { key: "a}b" }, /must hold a hash tag/],
    ["an empty key", { key: "" }, /key must be/],
    ["a value that is none", { value: {} }, /value must be/],
    ["a token of zero", { fenced: { resource: "lock:a", token: 0 } }, /fenced.token must be/],
    ["a token that is no number", { fenced: { resource: "lock:a", token: "1" } }, /fenced.token must be/],
    ["no resource", { fenced: { resource: "", token: 1 } }, /fenced.resource must be/],
    ["no hold", { fenced: null }, /fenced must be an object/],
    ["a life of no length", { options: { ttlMs: 0 } }, /ttlMs must be/],
    ["a memory of no length", { options: { guardRetentionMs: 5 } }, /guardRetentionMs must be/],
    ["a repeat within no time", { options: { repeatWithinMs: 0 } }, /repeatWithinMs must be/],
  ])(
    "refuses %s",
    async (
      _,
      { key = "user:v", value = "x", fenced = { resource: "lock:a", token: 1 }, options = {} }: Record<string, unknown>,
      message,
    ) => {
      await expect(
        fencedSet(
          real.redis,
          key as string,
          value as string,
          fenced as { resource: string; token: number },
          options as object,
        ),
      ).rejects.toThrow(message);
    },
  );

  it("K1 a lost reply is an unknown outcome, and the operation id tells it without writing twice", async () => {
    const proxy = await FaultProxy.start(real.server.address);
    const redis = real.client({ maxRetriesPerRequest: 0 }, proxy.url);
    await redis.ping();
    const fenced = { resource: "lock:a", token: await real.nowUs() };
    const fault = proxy.swallowReply(/user:v/);
    const error = await fencedSet(redis, "user:v", "one", fenced).catch((caught: unknown) => caught);
    expect(fault.hits).toBe(1);
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    await real.redis.set("user:v", "changed meanwhile");
    await fencedSet(real.redis, "user:v", "one", fenced, { operationId: (error as OutcomeUnknownError).operationId });
    expect(await real.redis.get("user:v")).toBe("changed meanwhile");
    await proxy.close();
  });
});
