/** reset-fence.lua and its wrapper. */
import { FaultProxy } from "@holdfast/testkit";
import { expect, it } from "vitest";
import { advanceFence, fencedSet, resetFence, StaleTokenError } from "../src/guard/index.ts";
import { resetFence as resetSource } from "../src/scripts.generated.ts";
import { runRaw } from "./raw-script.ts";
import { patientMs, useRealServer } from "./real-server.ts";

const real = useRealServer();

it("lets lower tokens through again, after the lock's server has lost its tokens and its clock went back", async () => {
  const token = await real.nowUs();
  const ahead = { resource: "lock:a", token: token + 3_600_000_000 };
  await advanceFence(real.redis, "user:v", ahead);
  await expect(fencedSet(real.redis, "user:v", "x", { resource: "lock:a", token })).rejects.toThrow();
  expect(await resetFence(real.redis, "user:v", "lock:a")).toBe(ahead.token);
  await fencedSet(real.redis, "user:v", "x", { resource: "lock:a", token });
});

it("tells when there was nothing to forget", async () => {
  expect(await resetFence(real.redis, "user:v", "lock:a")).toBeNull();
});

it.each([
  ["had something to forget", true],
  ["had nothing to forget", false],
])("K1 a repeat of a reset that %s gets the first answer and leaves the next holder's token", async (_, isThere) => {
  const token = await real.nowUs();
  const old = { resource: "lock:a", token };
  if (isThere) await advanceFence(real.redis, "user:v", old);
  const reset = () => resetFence(real.redis, "user:v", "lock:a", { operationId: "operator-1" });
  const first = isThere ? token : null;
  expect(await reset()).toBe(first);
  await fencedSet(real.redis, "user:v", "new", { resource: "lock:a", token: token + 1 });
  expect(await reset()).toBe(first);
  await expect(fencedSet(real.redis, "user:v", "old", old)).rejects.toBeInstanceOf(StaleTokenError);
  expect(await resetFence(real.redis, "user:v", "lock:a", { operationId: "operator-2" })).toBe(token + 1);
});

it("K1 a reset that ioredis sends twice, since its answer was lost, forgets nothing that was written between", async () => {
  const proxy = await FaultProxy.start(real.server.address);
  const redis = real.client({}, proxy.url);
  const token = await real.nowUs();
  await advanceFence(redis, "user:v", { resource: "lock:a", token });
  await resetFence(redis, "user:warm-up", "lock:a");
  const answer = proxy.hold("reply", new RegExp(resetSource.sha1, "u"));
  const resetting = resetFence(redis, "user:v", "lock:a", { commandTimeoutMs: patientMs });
  await answer.hit;
  await advanceFence(real.redis, "user:v", { resource: "lock:a", token: token + 1 });
  redis.disconnect(true);
  expect(await resetting).toBe(token);
  await expect(advanceFence(real.redis, "user:v", { resource: "lock:a", token })).rejects.toThrow(StaleTokenError);
  await proxy.close();
});

it("K3 forgets when memory is out, and remembers that it did", async () => {
  const token = await real.nowUs();
  await advanceFence(real.redis, "user:v", { resource: "lock:a", token });
  await resetFence(real.redis, "user:warm-up", "lock:a");
  await real.redis.config("SET", "maxmemory", 1);
  const reset = (key: string) => resetFence(real.redis, key, "lock:a", { operationId: "operator-1" });
  const answers = await Promise.allSettled([reset("user:v"), reset("user:none"), reset("user:v")]);
  await real.redis.config("SET", "maxmemory", 0);
  const value = (answer: number | null) => ({ status: "fulfilled", value: answer });
  expect(answers).toEqual([value(token), value(null), value(token)]);
});

it("K3 leaves a fence of a newer format alone, and says so", async () => {
  await real.redis.set("holdfast:{user:v}:guard:lock:a", "2x", "PX", 10_000);
  await expect(resetFence(real.redis, "user:v", "lock:a")).rejects.toMatchObject({ code: "NEWER_FORMAT", found: 2 });
  expect(await real.redis.get("holdfast:{user:v}:guard:lock:a")).toBe("2x");
});

it("K1 does nothing after its bound", async () => {
  const fence = "holdfast:{user:v}:guard:lock:a";
  const keys = { fence, first: "holdfast:{user:v}:guard:first:1" };
  await real.redis.set(fence, "11", "PX", 10_000);
  expect(((await runRaw(real.redis, resetSource, keys, { notAfterUs: 1, repeatWithinMs: 1_000 })) as string[])[0]).toBe(
    "too-late",
  );
  expect(await real.redis.exists(fence)).toBe(1);
});
