/** acquire.lua on a real server. */
import { describe, expect, it } from "vitest";
import { lapseMs, leaseOf, tokenOf } from "./lease-fixture.ts";
import { useRealServer } from "./real-server.ts";

const real = useRealServer();
const future = { notAfterUs: 9_007_199_254_740_991 };

describe("a free lease", () => {
  it("L1 is granted with a token that is the server's time, and with a record that outlives it", async () => {
    const lease = leaseOf(real.redis);
    const beforeUs = await real.nowUs();
    const token = tokenOf(await lease.acquire("ann"));
    expect(token).toBeGreaterThanOrEqual(beforeUs);
    expect(token).toBeLessThanOrEqual(await real.nowUs());
    expect(await lease.record()).toEqual({
      format: "1",
      token,
      sinceUs: token,
      lengthMs: 30_000,
      delayMs: 0,
      flag: "-",
      owner: "ann",
    });
    expect(await real.redis.pexpiretime(lease.keys.lease)).toBeGreaterThan(token / 1_000 + 629_000);
    expect(await real.redis.keys("*")).toEqual([lease.keys.lease]);
  });

  it("L1 gets a higher token with every grant, also when the clock is behind the last one", async () => {
    const lease = leaseOf(real.redis);
    const aheadUs = (await real.nowUs()) + 3_600_000_000;
    await real.redis.set(lease.keys.lease, `1${aheadUs}${"0".repeat(16)}00030000${"0".repeat(8)}-old`, "PX", 60_000);
    expect(tokenOf(await lease.acquire("ann"))).toBe(aheadUs + 1);
    await lease.release("ann");
    expect(tokenOf(await lease.acquire("bob"))).toBe(aheadUs + 2);
  });

  it("L1 K5 keeps the fence until the token as a time is past, so that a clock that went back cannot outlive it", async () => {
    const lease = leaseOf(real.redis);
    const nowUs = await real.nowUs();
    const aheadUs = nowUs + 3_600_000_000;
    await real.redis.set(lease.keys.lease, `1${aheadUs}${"0".repeat(16)}00030000${"0".repeat(8)}-old`, "PX", 60_000);
    await lease.acquire("ann");
    await lease.release("ann");
    expect(await real.redis.pexpiretime(lease.keys.lease)).toBeGreaterThan(aheadUs / 1_000 + 600_000 - 1);
  });

  it("is written with all digits: tokens a microsecond apart stay apart", async () => {
    const lease = leaseOf(real.redis);
    await real.redis.set(
      lease.keys.lease,
      `19007199254740990${"0".repeat(16)}00030000${"0".repeat(8)}-old`,
      "PX",
      60_000,
    );
    expect(await lease.acquire("ann")).toBe("granted 9007199254740991");
  });
});

describe("a held lease", () => {
  it("L2 is refused to others and changes nothing", async () => {
    const lease = leaseOf(real.redis);
    await lease.acquire("ann");
    const before = await lease.record();
    expect(await lease.acquire("bob")).toBe("busy");
    expect(await lease.record()).toEqual(before);
  });

  it("L3 is granted again to its owner with the same token, and counts anew", async () => {
    const lease = leaseOf(real.redis);
    const token = tokenOf(await lease.acquire("ann"));
    await lease.age(20_000);
    expect(tokenOf(await lease.acquire("ann"))).toBe(token);
    expect((await lease.record())?.sinceUs).toBeGreaterThanOrEqual(token);
  });

  it("is free when its time is over, not before", async () => {
    const lease = leaseOf(real.redis);
    const token = tokenOf(await lease.acquire("ann", { leaseMs: 600_000 }));
    await lease.age(540_000);
    expect(await lease.acquire("bob")).toBe("busy");
    await lease.age(60_000);
    expect(tokenOf(await lease.acquire("bob"))).toBeGreaterThan(token);
  });

  it("keeps others out for the lock delay after its time is over, but not after a release", async () => {
    const lease = leaseOf(real.redis);
    await lease.acquire("ann", { delayMs: 60_000 });
    await lease.age(30_000);
    expect(await lease.acquire("bob")).toBe("busy");
    await lease.age(60_000);
    expect(await lease.acquire("bob")).toMatch(/^granted/);
    await lease.release("bob");
    await lease.acquire("eve", { delayMs: 5_000 });
    await lease.release("eve");
    expect(await lease.acquire("ann")).toMatch(/^granted/);
  });

  it("K8 that has begun in the future counts its own length from first sight, and no longer", async () => {
    const lease = leaseOf(real.redis);
    await lease.acquire("ann", { leaseMs: 1_000 });
    await lease.age(-3_600_000);
    const nowUs = await real.nowUs();
    expect(await lease.acquire("bob")).toBe("busy");
    const { sinceUs = 0 } = (await lease.record()) ?? {};
    expect(sinceUs).toBeGreaterThanOrEqual(nowUs);
    expect(sinceUs).toBeLessThanOrEqual(await real.nowUs());
    await lease.age(1_000);
    expect(await lease.acquire("bob")).toMatch(/^granted/);
  });
});

describe("a request that comes late", () => {
  it("K1 does nothing after its bound", async () => {
    const lease = leaseOf(real.redis);
    const [tag, now] = (await lease.acquire("ann", { notAfterUs: 1_000_000 })) as unknown as [string, string];
    expect([tag, now.length]).toEqual(["too-late", 16]);
    expect(await lease.record()).toBeNull();
  });

  it("L3 is granted nothing after its owner's release", async () => {
    const lease = leaseOf(real.redis);
    await lease.acquire("ann");
    await lease.release("ann");
    expect(await lease.acquire("ann", future)).toBe("ended");
    expect(await lease.acquire("ann", { ...future, waits: true })).toBe("ended");
    expect(await lease.waiters()).toEqual([]);
  });

  it("L3 is granted nothing once its owner is sealed, whoever has held it since", async () => {
    const lease = leaseOf(real.redis);
    await lease.release("ann", { sealMs: 60_000 });
    expect(await lease.acquire("ann", future)).toBe("ended");
    await lease.acquire("bob");
    expect(await lease.acquire("ann", { ...future, waits: true })).toBe("ended");
    await lease.release("bob");
    expect(await lease.acquire("ann", future)).toBe("ended");
    expect(await lease.acquire("eve")).toMatch(/^granted/);
  });

  it("L3 counter-test: without the seal it is granted, and nobody knows of it", async () => {
    const lease = leaseOf(real.redis);
    await lease.release("ann", { sealMs: 0 });
    expect(await lease.acquire("ann", future)).toMatch(/^granted/);
  });
});

describe("waiting", () => {
  it("L6 stands in the order of arrival, also when the clock went back", async () => {
    const lease = leaseOf(real.redis);
    await lease.acquire("holder");
    expect(await lease.acquire("ann", { waits: true })).toMatch(/^waiting ([12]\d{4}|30000) \d{16}$/);
    const last = Number((await real.redis.zrange(lease.keys.queue, "0", "0", "WITHSCORES"))[1]);
    await real.redis.zadd(lease.keys.queue, String(last + 3_600_000_000), "ann");
    await lease.acquire("bob", { waits: true });
    await lease.acquire("ann", { waits: true });
    expect(await lease.waiters()).toEqual(["ann", "bob"]);
    expect((await lease.record())?.flag).toBe("q");
  });

  it("L6 is not overtaken by a newcomer: a free lease goes to the first live waiter", async () => {
    const lease = leaseOf(real.redis);
    await lease.acquire("holder");
    await lease.acquire("ann", { waits: true });
    await lease.age(30_000);
    expect(await lease.acquire("bob")).toBe("busy");
    const { lengthMs = 0, ...record } = (await lease.record()) ?? {};
    expect(record).toMatchObject({ owner: "ann", delayMs: 0, flag: "-" });
    expect(lengthMs > 0 && lengthMs <= lapseMs).toBe(true);
    expect(await lease.acquire("ann", { waits: true })).toMatch(/^granted/);
    expect(await lease.record()).toMatchObject({ owner: "ann", lengthMs: 30_000 });
  });

  it("L6 the waiter whose turn it is gets its full lease when it asks itself", async () => {
    const lease = leaseOf(real.redis);
    await lease.acquire("holder");
    await lease.acquire("ann", { waits: true });
    await lease.acquire("bob", { waits: true });
    await lease.age(30_000);
    expect(await lease.acquire("ann", { waits: true })).toMatch(/^granted/);
    expect(await lease.record()).toMatchObject({ owner: "ann", lengthMs: 30_000, flag: "q" });
    expect(await lease.waiters()).toEqual(["bob"]);
  });

  it("L6 skips all dead waiters in one step", async () => {
    const lease = leaseOf(real.redis);
    await lease.acquire("holder");
    for (let index = 0; index < 250; index += 1) await lease.acquire(`dead-${index}`, { waits: true });
    await lease.acquire("ann", { waits: true });
    const longAgo = (await real.nowUs()) - 500_000;
    for (let index = 0; index < 250; index += 1)
      await real.redis.zadd(lease.keys.seen, String(longAgo), `dead-${index}`);
    await lease.age(30_000);
    expect(await lease.acquire("ann", { waits: true })).toMatch(/^granted/);
    expect(await lease.waiters()).toEqual([]);
    expect(await real.redis.exists(lease.keys.seen)).toBe(0);
  });

  it("K8 a waiter seen in the future is not trusted to be alive", async () => {
    const lease = leaseOf(real.redis);
    await lease.acquire("holder");
    await lease.acquire("ghost", { waits: true });
    await lease.acquire("ann", { waits: true });
    await real.redis.zadd(lease.keys.seen, String((await real.nowUs()) + 3_600_000_000), "ghost");
    await lease.age(30_000);
    expect(await lease.acquire("ann", { waits: true })).toMatch(/^granted/);
  });

  it("a waiter without a sign of life is removed, not waited for", async () => {
    const lease = leaseOf(real.redis);
    await lease.acquire("holder");
    await lease.acquire("ghost", { waits: true });
    await lease.acquire("ann", { waits: true });
    await real.redis.zrem(lease.keys.seen, "ghost");
    await lease.age(30_000);
    expect(await lease.acquire("ann", { waits: true })).toMatch(/^granted/);
  });
});

it("refuses a record of a newer format, and one that is none", async () => {
  const lease = leaseOf(real.redis);
  await real.redis.set(lease.keys.lease, "2whatever", "PX", 10_000);
  expect(await lease.acquire("ann")).toBe("newer-format 2whateve");
  expect(await real.redis.get(lease.keys.lease)).toBe("2whatever");
  await real.redis.del(lease.keys.lease);
  await real.redis.lpush(lease.keys.lease, "x");
  await expect(lease.acquire("ann")).rejects.toThrow(/WRONGTYPE/);
  await real.redis.del(lease.keys.lease);
});
