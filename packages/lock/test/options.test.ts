/** Bad input: refused at the call, naming the field, the allowed range and the value got. */
import { Redis } from "ioredis";
import { afterAll, describe, expect, it } from "vitest";
import { FencedLock } from "../src/index.ts";
import type { AcquireOptions, LockOptions } from "../src/index.ts";

const redis = new Redis({ lazyConnect: true });
afterAll(() => redis.disconnect());

describe("the constructor", () => {
  it.each([
    [{ ttlMs: 49 }, /ttlMs must be a whole number from 50 to 86400000, got 49/],
    [{ ttlMs: 86_400_001 }, /ttlMs must be/],
    [{ ttlMs: 1.5 }, /ttlMs must be/],
    [{ ttlMs: "30s" }, /ttlMs must be/],
    [{ ttlMs: Number.NaN }, /ttlMs must be/],
    [{ ttlMs: 1_000, renewEveryMs: 501 }, /renewEveryMs must be a whole number from 10 to 500, got 501/],
    [{ renewEveryMs: 0 }, /renewEveryMs must be/],
    [{ holdMaxMs: 0 }, /holdMaxMs must be/],
    [{ lockDelayMs: -1 }, /lockDelayMs must be/],
    [{ waiterLapseMs: 99 }, /waiterLapseMs must be/],
    [{ fenceRetentionMs: 59_999 }, /fenceRetentionMs must be/],
    [{ prefix: "a{b" }, /prefix must not contain/],
    [{ prefix: "" }, /prefix must be/],
    [{ commandTimeoutMs: 9 }, /commandTimeoutMs must be/],
    [{ durability: { replicas: 0, timeoutMs: 100 } }, /durability.replicas must be/],
    [{ onEvent: "x" }, /onEvent must be a function/],
  ])("refuses %j", (options, message) => {
    expect(() => new FencedLock(redis, options as LockOptions)).toThrow(message);
  });

  it("refuses what is no client, and a client with a keyPrefix, and does no I/O", () => {
    expect(() => new FencedLock({} as Redis)).toThrow(TypeError);
    expect(() => new FencedLock(null as unknown as Redis)).toThrow(TypeError);
    const prefixed = new Redis({ lazyConnect: true, keyPrefix: "app:" });
    expect(() => new FencedLock(prefixed)).toThrow(/keyPrefix/);
    expect(() => new FencedLock(redis, null as unknown as LockOptions)).toThrow(TypeError);
    expect(redis.status).toBe("wait");
  });

  it("takes explicit undefined for every option", () => {
    const none: Required<{ [Key in keyof LockOptions]: undefined }> = {
      ttlMs: undefined,
      renewEveryMs: undefined,
      holdMaxMs: undefined,
      lockDelayMs: undefined,
      waiterLapseMs: undefined,
      fenceRetentionMs: undefined,
      prefix: undefined,
      commandTimeoutMs: undefined,
      durability: undefined,
      clock: undefined,
      random: undefined,
      onEvent: undefined,
    };
    expect(() => new FencedLock(redis, none)).not.toThrow();
  });
});

describe("acquire, tryAcquire and withLock", () => {
  const lock = new FencedLock(redis);

  it.each([
    ["", {}, /name must be a string of 1 to 256 bytes, got 0/],
    ["é".repeat(129), {}, /name must be/],
    ["\uD800", {}, /well-formed/],
    [7, {}, /name must be/],
    [undefined, {}, /name must be/],
    ["a", { waitMs: -1 }, /waitMs must be/],
    ["a", { waitMs: 86_400_001 }, /waitMs must be/],
    ["a", { waitMs: Infinity }, /waitMs must be/],
    ["a", { ttlMs: 0 }, /ttlMs must be/],
    ["a", { ttlMs: null }, /ttlMs must be/],
    ["a", { signal: {} }, /signal must be an AbortSignal/],
    ["a", { operationId: "" }, /operationId must be/],
    ["a", { operationId: "!ann" }, /operationId must not begin with !, got "!ann"/],
    ["a", 5, /options must be an object/],
    ["a", [], /options must be an object/],
  ])("refuse %j with %j", async (name, options, message) => {
    const bad = [name, options] as unknown as [string, AcquireOptions];
    await expect(lock.acquire(...bad)).rejects.toThrow(message);
    await expect(lock.withLock(...bad, () => undefined)).rejects.toThrow(message);
    if (!("waitMs" in Object(options))) await expect(lock.tryAcquire(...bad)).rejects.toThrow(message);
    expect(redis.status).toBe("wait");
  });

  it("inspect and forceRelease refuse a bad name", async () => {
    await expect(lock.inspect("")).rejects.toThrow(RangeError);
    await expect(lock.forceRelease("")).rejects.toThrow(RangeError);
  });

  it.each([
    [{ operationId: "" }, /operationId must be a string of 1 to 128 bytes, got 0/],
    [{ operationId: 7 }, /operationId must be a string/],
    [{ operationId: "x".repeat(129) }, /operationId must be/],
    [{ operationId: "!ann" }, /operationId must not begin with !/],
    [null, /options must be an object, got null/],
    ["op-1", /options must be an object/],
  ])("forceRelease refuses %j", async (options, message) => {
    await expect(lock.forceRelease("a", options as { operationId: string })).rejects.toThrow(message);
    expect(redis.status).toBe("wait");
  });
});
