/** inspect.lua on a real server. */
import { expect, it } from "vitest";
import { leaseOf, tokenOf } from "./lease-fixture.ts";
import { useRealServer } from "./real-server.ts";

const real = useRealServer();

it("tells the holder, its rest and how many live waiters there are", async () => {
  const lease = leaseOf(real.redis);
  expect(await lease.inspect()).toEqual(["free"]);
  const token = tokenOf(await lease.acquire("ann"));
  await lease.acquire("bob", { waits: true });
  await lease.acquire("dead", { waits: true });
  await real.redis.zadd(lease.keys.seen, String((await real.nowUs()) - 1), "dead");
  await lease.release("sealed", { sealMs: 60_000 });
  const [tag, held, owner, remainingMs, waiters] = await lease.inspect();
  expect([tag, Number(held), owner, waiters]).toEqual(["held", token, "ann", 1]);
  expect(Number(remainingMs)).toBeLessThanOrEqual(30_000);
  expect(Number(remainingMs)).toBeGreaterThan(30_000 - ((await real.nowUs()) - token) / 1_000 - 2);
});

it("sees a lease end, and a release", async () => {
  const lease = leaseOf(real.redis);
  await lease.acquire("ann");
  await lease.age(30_000);
  expect(await lease.inspect()).toEqual(["free"]);
  await lease.acquire("bob");
  await lease.release("bob");
  expect(await lease.inspect()).toEqual(["free"]);
});

it("K8 never tells a longer rest than the lease is long", async () => {
  const lease = leaseOf(real.redis);
  await lease.acquire("ann", { leaseMs: 1_000 });
  await lease.age(-3_600_000);
  expect((await lease.inspect())[3]).toBe(1_000);
});

it("changes nothing", async () => {
  const lease = leaseOf(real.redis);
  await lease.acquire("ann");
  const before = await real.redis.get(lease.keys.lease);
  await lease.inspect();
  expect(await real.redis.get(lease.keys.lease)).toBe(before);
  expect(await real.redis.keys("*")).toEqual([lease.keys.lease]);
});

it("refuses a record of a newer format", async () => {
  const lease = leaseOf(real.redis);
  await real.redis.set(lease.keys.lease, `2${"0".repeat(49)}ann`, "PX", 10_000);
  expect((await lease.inspect())[0]).toBe("newer-format");
});
