/** hand-off.lua, the fragment that finds the first live waiter, by way of acquire and release. */
import { pollUntil } from "@holdfast/testkit";
import { expect, it } from "vitest";
import { leaseOf, tokenOf } from "./lease-fixture.ts";
import { useRealServer } from "./real-server.ts";

const real = useRealServer();

it("L6 a queue that has run empty is no reason to refuse", async () => {
  const lease = leaseOf(real.redis);
  await lease.acquire("holder");
  await lease.acquire("ann", { waits: true });
  await lease.release("holder");
  await lease.release("ann");
  await lease.release("sealed", { sealMs: 60_000 });
  expect((await lease.record())?.flag).toBe("q");
  expect(await lease.acquire("bob")).toMatch(/^granted/);
});

it("L6 the first live waiter stays first: it is not taken for dead", async () => {
  const lease = leaseOf(real.redis);
  await lease.acquire("holder");
  for (const owner of ["ann", "bob", "eve"]) await lease.acquire(owner, { waits: true });
  await lease.release("holder");
  expect(await lease.record()).toMatchObject({ owner: "ann" });
  expect(await lease.waiters()).toEqual(["bob", "eve"]);
});

it("L6 the dead are skipped, of whichever kind, and the living keep their places", async () => {
  const lease = leaseOf(real.redis);
  await lease.acquire("holder");
  for (const owner of ["silent", "from-the-future", "forgotten", "ann", "bob"])
    await lease.acquire(owner, { waits: true });
  const nowUs = await real.nowUs();
  await real.redis.zadd(lease.keys.seen, String(nowUs - 1), "silent", String(nowUs + 3_600_000_000), "from-the-future");
  await real.redis.zrem(lease.keys.seen, "forgotten");
  await lease.release("holder");
  expect(await lease.record()).toMatchObject({ owner: "ann", flag: "q" });
  expect(await lease.waiters()).toEqual(["bob"]);
});

it("L6 a waiter that comes back after its lapse stands at the end", async () => {
  const lease = leaseOf(real.redis);
  await lease.acquire("holder");
  for (const owner of ["paused", "ann", "bob"]) await lease.acquire(owner, { waits: true });
  await real.redis.zadd(lease.keys.seen, String((await real.nowUs()) - 1), "paused");
  await lease.release("holder");
  await lease.acquire("paused", { waits: true });
  expect(await lease.waiters()).toEqual(["bob", "paused"]);
});

it.each([[["ann", "bob"]], [["bob", "ann"]]])(
  "L6 a holder that stands in the queue, too, since the record was lost, leaves it with its release: %j",
  async (queued) => {
    const lease = leaseOf(real.redis);
    await lease.acquire("holder");
    for (const owner of queued) await lease.acquire(owner, { waits: true });
    await real.redis.del(lease.keys.lease);
    expect(await lease.acquire("ann", { waits: true })).toMatch(/^granted/);
    await lease.acquire("bob", { waits: true });
    expect(await lease.waiters()).toEqual(queued);
    expect(await lease.release("ann")).toBe("released");
    expect(await lease.record()).toMatchObject({ owner: "bob", flag: "-" });
    expect(await lease.waiters()).toEqual([]);
  },
);

it("L6 each waiter counts as alive for a lapse of its own, whoever looks, and is granted to for what is left of that", async () => {
  const lease = leaseOf(real.redis);
  await lease.acquire("holder");
  await lease.acquire("short", { waits: true, lapseMs: 100 });
  await lease.acquire("long", { waits: true, lapseMs: 50_000 });
  const untilUs = async (owner: string): Promise<number> => Number(await real.redis.zscore(lease.keys.seen, owner));
  const [shortUs, longUs] = [await untilUs("short"), await untilUs("long")];
  await pollUntil("the short lapse is over", async () => (await real.nowUs()) > shortUs);
  await lease.release("holder");
  const { owner, sinceUs = 0, lengthMs } = (await lease.record()) ?? {};
  expect([owner, lengthMs]).toEqual(["long", Math.ceil((longUs - sinceUs) / 1_000)]);
});

it("others are kept out after a hand-off for the lock delay of the holder before, also when a waiter's poll hands on", async () => {
  const lease = leaseOf(real.redis);
  await lease.acquire("holder", { delayMs: 70_000 });
  await lease.acquire("ann", { waits: true });
  await lease.acquire("bob", { waits: true });
  await lease.release("holder");
  const { owner, delayMs, lengthMs = 0 } = (await lease.record()) ?? {};
  expect([owner, delayMs]).toEqual(["ann", 70_000]);
  await lease.age(lengthMs + 1_000);
  expect(await lease.acquire("newcomer")).toBe("busy");
  await lease.age(70_000);
  // It finds the lock free, and bob before it.
  const [tag, openInMs] = (await lease.acquire("eve", { waits: true })).split(" ");
  expect(await lease.record()).toMatchObject({ owner: "bob", delayMs: 70_000 });
  expect([tag, Number(openInMs) > 70_000]).toEqual(["waiting", true]);
  expect(tokenOf(await lease.acquire("bob", { waits: true, delayMs: 5_000 }))).toBeGreaterThan(0);
  expect(await lease.record()).toMatchObject({ owner: "bob", delayMs: 5_000 });
});
