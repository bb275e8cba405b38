/** reset-fence.lua and its wrapper. */
import { expect, it } from "vitest";
import { advanceFence, fencedSet, resetFence } from "../src/guard/index.ts";
import { resetFence as resetSource } from "../src/scripts.generated.ts";
import { runRaw } from "./raw-script.ts";
import { useRealServer } from "./real-server.ts";

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

it("K1 does nothing after its bound", async () => {
  const fence = "holdfast:{user:v}:guard:lock:a";
  await real.redis.set(fence, "11", "PX", 10_000);
  expect(((await runRaw(real.redis, resetSource, { fence }, { notAfterUs: 1 })) as string[])[0]).toBe("too-late");
  expect(await real.redis.exists(fence)).toBe(1);
});
