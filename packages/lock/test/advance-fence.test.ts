/** advance-fence.lua and its wrapper. */
import { describe, expect, it } from "vitest";
import { advanceFence, fencedSet, StaleTokenError } from "../src/guard/index.ts";
import { advanceFence as advanceSource } from "../src/scripts.generated.ts";
import { runRaw } from "./raw-script.ts";
import { useRealServer } from "./real-server.ts";

const real = useRealServer();

describe("advanceFence", () => {
  it("refuses the holder that an operator has put out before the next one writes", async () => {
    const lock = real.lock();
    const hold = await lock.acquire("a");
    const burned = await lock.forceRelease("a");
    await fencedSet(real.redis, "user:v", "still let through: nobody has told the guard", hold);
    await advanceFence(real.redis, "user:v", { resource: hold.resource, token: burned });
    await expect(fencedSet(real.redis, "user:v", "zombie", hold)).rejects.toMatchObject({ highest: burned });
    expect(await real.redis.get("user:v")).toMatch(/^still/);
    const next = await lock.acquire("a");
    await fencedSet(real.redis, "user:v", "next", next);
  });

  it("does not go back", async () => {
    const token = await real.nowUs();
    await advanceFence(real.redis, "user:v", { resource: "lock:a", token });
    await expect(advanceFence(real.redis, "user:v", { resource: "lock:a", token: token - 1 })).rejects.toBeInstanceOf(
      StaleTokenError,
    );
    await advanceFence(real.redis, "user:v", { resource: "lock:a", token });
  });

  it("refuses a token that is older than the guard remembers, and a fence of a newer format", async () => {
    const old = { resource: "lock:a", token: (await real.nowUs()) - 61_000_000 };
    await expect(advanceFence(real.redis, "user:v", old, { guardRetentionMs: 60_000 })).rejects.toMatchObject({
      reason: "too-old",
    });
    await real.redis.set("holdfast:{user:v}:guard:lock:a", "2x", "PX", 10_000);
    const fresh = { resource: "lock:a", token: await real.nowUs() };
    await expect(advanceFence(real.redis, "user:v", fresh)).rejects.toMatchObject({ code: "NEWER_FORMAT", found: 2 });
    expect(await real.redis.get("holdfast:{user:v}:guard:lock:a")).toBe("2x");
  });

  it("K1 does nothing after its bound", async () => {
    const fence = "holdfast:{user:v}:guard:lock:a";
    const late = { token: String(await real.nowUs()), guardRetentionMs: 60_000, notAfterUs: 1 };
    expect(((await runRaw(real.redis, advanceSource, { fence }, late)) as string[])[0]).toBe("too-late");
    expect(await real.redis.exists(fence)).toBe(0);
  });
});
