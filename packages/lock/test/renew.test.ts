/** renew.lua on a real server. */
import { expect, it } from "vitest";
import { leaseOf, tokenOf } from "./lease-fixture.ts";
import { useRealServer } from "./real-server.ts";

const real = useRealServer();

it("L2 counts the owner's lease anew under the same token", async () => {
  const lease = leaseOf(real.redis);
  const token = tokenOf(await lease.acquire("ann"));
  await lease.age(20_000);
  expect(await lease.renew("ann", { leaseMs: 10_000, delayMs: 7 })).toBe("renewed");
  const record = await lease.record();
  expect(record).toMatchObject({ token, lengthMs: 10_000, delayMs: 7, owner: "ann", flag: "-" });
  expect(record?.sinceUs).toBeGreaterThanOrEqual(token);
});

it("L2 L5 is lost for anybody else, and changes nothing", async () => {
  const lease = leaseOf(real.redis);
  expect(await lease.renew("ann")).toBe("lost");
  await lease.acquire("ann");
  const before = await lease.record();
  expect(await lease.renew("eve")).toBe("lost");
  expect(await lease.record()).toEqual(before);
});

it("L3 does not bring a released lease back", async () => {
  const lease = leaseOf(real.redis);
  await lease.acquire("ann");
  await lease.release("ann");
  expect(await lease.renew("ann")).toBe("lost");
  expect(await lease.acquire("bob")).toMatch(/^granted/);
});

it("keeps the note that somebody waits", async () => {
  const lease = leaseOf(real.redis);
  await lease.acquire("ann");
  await lease.acquire("bob", { waits: true });
  await lease.renew("ann");
  expect((await lease.record())?.flag).toBe("q");
});

it("K1 does nothing after its bound", async () => {
  const lease = leaseOf(real.redis);
  await lease.acquire("ann");
  const before = await lease.record();
  expect((await lease.renew("ann", { notAfterUs: 1 }))[0]).toBe("too-late");
  expect(await lease.record()).toEqual(before);
});

it("K5 keeps the fence until a token ahead of the clock is past", async () => {
  const lease = leaseOf(real.redis);
  const aheadUs = (await real.nowUs()) + 3_600_000_000;
  await real.redis.set(lease.keys.lease, `1${aheadUs}${"0".repeat(16)}00030000${"0".repeat(8)}-old`, "PX", 60_000);
  await lease.acquire("ann");
  await lease.renew("ann", { leaseMs: 50 });
  expect(await real.redis.pexpiretime(lease.keys.lease)).toBeGreaterThan(aheadUs / 1_000 + 600_000 - 1);
});

it("refuses a record of a newer format", async () => {
  const lease = leaseOf(real.redis);
  await real.redis.set(lease.keys.lease, `2${"0".repeat(49)}ann`, "PX", 10_000);
  expect(await lease.renew("ann")).toMatch(/^newer-format 2/);
});
