/** The scripts that a quorum runs on each of its nodes, one by one. */
import { beforeEach, describe, expect, it } from "vitest";
import { quorumKeys } from "../src/redlock/quorum-keys.ts";
import { quorumConfirm, quorumExtend, quorumInspect, quorumPropose, quorumRelease } from "../src/scripts.generated.ts";
import { runRaw } from "./raw-script.ts";
import type { RawInputs } from "./raw-script.ts";
import { useRealServer } from "./real-server.ts";

const real = useRealServer();
const keys = quorumKeys("holdfast", "user:a");
const where = (value: string) => ({ lock: keys.lock, fence: keys.fence, gone: keys.gone(value) });
type Reply = [string, ...string[]];

const propose = async (value: string, more: RawInputs = {}) =>
  (await runRaw(real.redis, quorumPropose, where(value), {
    value,
    ttlMs: 10_000,
    retentionMs: 60_000,
    ...more,
  })) as Reply;
const confirm = async (value: string, token: number, more: RawInputs = {}) =>
  (await runRaw(real.redis, quorumConfirm, where(value), {
    value,
    token: String(token).padStart(16, "0"),
    retentionMs: 60_000,
    ...more,
  })) as Reply;
const extend = async (value: string, more: RawInputs = {}) =>
  (await runRaw(real.redis, quorumExtend, where(value), { value, ttlMs: 20_000, ...more })) as Reply;
const release = async (value: string, more: RawInputs = {}) =>
  (await runRaw(real.redis, quorumRelease, where(value), { value, sealMs: 0, ...more })) as Reply;
const inspect = async () => (await runRaw(real.redis, quorumInspect, where("x"), {})) as Reply;

beforeEach(() => real.redis.del(keys.lock, keys.fence));

describe("quorum-propose.lua", () => {
  it("takes redlock's key as redlock does, and proposes at least its clock", async () => {
    const beforeUs = await real.nowUs();
    const [tag, token] = await propose("v1");
    expect(tag).toBe("granted");
    expect(Number(token)).toBeGreaterThanOrEqual(beforeUs);
    expect(await real.redis.get("user:a")).toBe("v1");
    expect(await real.redis.pttl("user:a")).toBeGreaterThan(9_000);
    expect(await real.redis.pttl(keys.fence)).toBeGreaterThan(59_000);
  });

  it("L3 gives a repeat the same token, L2 refuses another value", async () => {
    const first = await propose("v1");
    expect(await propose("v1")).toEqual(first);
    expect(await propose("v2")).toEqual(["held"]);
  });

  it("L8 goes above what it has seen, however far ahead of its clock that is", async () => {
    const ahead = (await real.nowUs()) + 60_000_000;
    await real.redis.set(keys.fence, `1${ahead}`, "PX", 60_000);
    expect(await propose("v1")).toEqual(["granted", String(ahead + 1)]);
    expect(await real.redis.pttl(keys.fence)).toBeGreaterThan(119_000);
  });

  it("L8 proposes anew when it holds the lock and has forgotten the token", async () => {
    await real.redis.set("user:a", "v1", "PX", 10_000);
    const [tag, token] = await propose("v1");
    expect([tag, await real.redis.get(keys.fence)]).toEqual(["granted", `1${token}`]);
  });

  it("L3 takes nothing for a value that has given up", async () => {
    await release("v1", { sealMs: 1_000 });
    expect(await propose("v1")).toEqual(["held"]);
    expect((await propose("v2"))[0]).toBe("granted");
  });

  it("K1 does nothing after its bound, and refuses a newer format", async () => {
    expect((await propose("v1", { notAfterUs: 1 }))[0]).toBe("too-late");
    expect(await real.redis.exists("user:a", keys.fence)).toBe(0);
    await real.redis.set(keys.fence, "2x", "PX", 10_000);
    expect((await propose("v1"))[0]).toBe("newer-format");
  });
});

describe("quorum-confirm.lua", () => {
  it("L8 remembers the token and tells its time", async () => {
    const [, proposed] = await propose("v1");
    const token = Number(proposed) + 1_000_000;
    const [tag, now] = await confirm("v1", token);
    expect([tag, await real.redis.get(keys.fence)]).toEqual(["confirmed", `1${token}`]);
    expect(Number(now)).toBeLessThan(token);
  });

  it("L8 refuses a token below one it has seen", async () => {
    const [, proposed] = await propose("v1");
    expect(await confirm("v1", Number(proposed) - 1)).toEqual(["higher", proposed]);
    expect(await real.redis.get(keys.fence)).toBe(`1${proposed}`);
  });

  it("L8 refuses a value that does not hold its lock", async () => {
    const [, proposed] = await propose("v1");
    expect(await confirm("v2", Number(proposed) + 5)).toEqual(["lost"]);
    await release("v1");
    expect(await confirm("v1", Number(proposed) + 5)).toEqual(["lost"]);
    expect(await real.redis.get(keys.fence)).toBe(`1${proposed}`);
  });

  it("K1 does nothing after its bound, and refuses a newer format", async () => {
    const [, proposed] = await propose("v1");
    expect((await confirm("v1", Number(proposed) + 5, { notAfterUs: 1 }))[0]).toBe("too-late");
    expect(await real.redis.get(keys.fence)).toBe(`1${proposed}`);
    await real.redis.set(keys.fence, "2x", "PX", 10_000);
    expect((await confirm("v1", Number(proposed) + 5))[0]).toBe("newer-format");
  });
});

describe("quorum-extend.lua", () => {
  it("L2 counts the holder's lease anew, and nobody else's", async () => {
    await propose("v1");
    expect(await extend("v2")).toEqual(["lost"]);
    expect(await real.redis.pttl("user:a")).toBeLessThan(11_000);
    expect(await extend("v1")).toEqual(["extended"]);
    expect(await real.redis.pttl("user:a")).toBeGreaterThan(19_000);
    expect((await extend("v1", { notAfterUs: 1, ttlMs: 60_000 }))[0]).toBe("too-late");
    expect(await real.redis.pttl("user:a")).toBeLessThan(21_000);
  });
});

describe("quorum-release.lua", () => {
  it("L5 frees what is the value's, and nothing else", async () => {
    await propose("v1");
    expect(await release("v2")).toEqual(["lost"]);
    expect((await release("v1", { notAfterUs: 1 }))[0]).toBe("too-late");
    expect(await real.redis.get("user:a")).toBe("v1");
    expect(await release("v1")).toEqual(["released"]);
    expect(await real.redis.exists("user:a")).toBe(0);
    expect(await release("v1")).toEqual(["lost"]);
  });

  it("leaves a seal with an end, and none when nothing can arrive", async () => {
    await release("v1");
    expect(await real.redis.exists(keys.gone("v1"))).toBe(0);
    await release("v1", { sealMs: 500 });
    expect(await real.redis.pttl(keys.gone("v1"))).toBeGreaterThan(0);
  });
});

describe("quorum-inspect.lua", () => {
  it("tells the holder, whoever wrote it", async () => {
    expect(await inspect()).toEqual(["free"]);
    const [, token] = await propose("v1");
    const [tag, value, , seen] = await inspect();
    expect([tag, value, seen]).toEqual(["held", "v1", token]);
    await real.redis.del(keys.fence);
    expect((await inspect())[3]).toBe("0");
  });
});
