/** force-release.lua on a real server. */
import { FaultProxy, pollUntil } from "@holdfast/testkit";
import { expect, it } from "vitest";
import { forceRelease } from "../src/scripts.generated.ts";
import { hintsOf, leaseOf, tokenOf } from "./lease-fixture.ts";
import { eventLog, useRealServer } from "./real-server.ts";

const real = useRealServer();

it("L1 ends the lease and burns a token between the old holder's and the next one's", async () => {
  const lease = leaseOf(real.redis);
  const old = tokenOf(await lease.acquire("ann"));
  const [tag, burned] = await lease.forceRelease("operator-1");
  expect(tag).toBe("burned");
  expect(Number(burned)).toBeGreaterThan(old);
  expect(await lease.renew("ann")).toBe("lost");
  expect(await lease.release("ann")).toBe("lost");
  expect(tokenOf(await lease.acquire("bob"))).toBeGreaterThan(Number(burned));
});

it("K1 gives a repeat the same token and burns no second one", async () => {
  const lease = leaseOf(real.redis);
  await lease.acquire("ann");
  const first = await lease.forceRelease("operator-1");
  expect(await lease.forceRelease("operator-1")).toEqual(first);
  expect(Number((await lease.forceRelease("operator-2"))[1])).toBeGreaterThan(Number(first[1]));
});

it("K1 L5 gives a repeat the same token after the next grant, which it leaves alone, and remembers each operation", async () => {
  const lease = leaseOf(real.redis);
  await lease.acquire("ann");
  const first = await lease.forceRelease("operator-1");
  await lease.acquire("bob");
  const second = await lease.forceRelease("operator-2");
  await lease.acquire("eve");
  expect(await lease.forceRelease("operator-1")).toEqual(first);
  expect(await lease.forceRelease("operator-2")).toEqual(second);
  expect(await lease.record()).toMatchObject({ owner: "eve", lengthMs: 30_000 });
  expect((await lease.record())?.sinceUs).toBeGreaterThan(0);
});

it("K1 L5 that ioredis sends twice, since its answer was lost, leaves the waiter alone that has the lock by then", async () => {
  const proxy = await FaultProxy.start(real.server.address);
  const redis = real.client({}, proxy.url);
  const operator = real.lock({ redis });
  await operator.forceRelease("warm-up");
  await real.lock({ ttlMs: 60_000 }).acquire("a");
  const { events, onEvent } = eventLog();
  const waiting = real.lock({ ttlMs: 60_000, onEvent }).acquire("a");
  await pollUntil("it waits", async () => (await leaseOf(real.redis).waiters()).length === 1);
  const answer = proxy.hold("reply", new RegExp(forceRelease.sha1, "u"));
  const releasing = operator.forceRelease("a");
  await answer.hit;
  const hold = await waiting;
  redis.disconnect(true);
  expect(await releasing).toBeLessThan(hold.token);
  await hold.renew();
  expect(events.map(({ type }) => type)).toEqual(["acquired"]);
  await operator.close();
  await proxy.close();
});

it("K1 K3 burns a token when memory is out, too, and gives a repeat the same one until the next grant", async () => {
  const lease = leaseOf(real.redis);
  await lease.acquire("ann");
  await real.redis.config("SET", "maxmemory", "1");
  try {
    const first = await lease.forceRelease("operator-1");
    expect(await lease.forceRelease("operator-1")).toEqual(first);
    expect(await lease.record()).toMatchObject({ sinceUs: 0, token: Number(first[1]) });
  } finally {
    await real.redis.config("SET", "maxmemory", "0");
  }
});

it("L6 tells the first live waiter to look, at its own place, and it gets the lease", async () => {
  const lease = leaseOf(real.redis);
  await lease.acquire("ann");
  for (const owner of ["there/dead", "here/bob", "there/eve"]) await lease.acquire(owner, { waits: true });
  await real.redis.zadd(lease.keys.seen, String((await real.nowUs()) - 1), "there/dead");
  const heard = await hintsOf(real.client(), lease);
  await lease.forceRelease("operator-1");
  expect(await heard.next()).toEqual({ place: "here", text: "*" });
  expect(await lease.acquire("here/bob", { waits: true })).toMatch(/^granted/);
});

it("burns a token on a name that nobody holds, too", async () => {
  const lease = leaseOf(real.redis);
  expect(Number((await lease.forceRelease("operator-1"))[1])).toBeGreaterThan(0);
});

it("K1 does nothing after its bound", async () => {
  const lease = leaseOf(real.redis);
  await lease.acquire("ann");
  expect((await lease.forceRelease("operator-1", { notAfterUs: 1 }))[0]).toBe("too-late");
  expect(await lease.record()).toMatchObject({ owner: "ann", lengthMs: 30_000 });
});

it("refuses a record of a newer format", async () => {
  const lease = leaseOf(real.redis);
  await real.redis.set(lease.keys.lease, `2${"0".repeat(49)}ann`, "PX", 10_000);
  expect((await lease.forceRelease("x"))[0]).toBe("newer-format");
});

it("ends the lease also when the operator calls the release by the owner's own id", async () => {
  const lease = leaseOf(real.redis);
  const held = tokenOf(await lease.acquire("ann"));
  const [, burned] = await lease.forceRelease("ann");
  expect(Number(burned)).toBeGreaterThan(held);
  expect(await lease.record()).toMatchObject({ sinceUs: 0, token: Number(burned) });
  expect(await lease.forceRelease("ann")).toEqual(["burned", burned]);
});

it("K1 L1 an id that an acquire has used names another operation: it burns a token of its own, and a later acquire under it is granted", async () => {
  const lease = leaseOf(real.redis);
  const held = tokenOf(await lease.acquire("request-7"));
  await lease.release("request-7");
  const [, burned] = await lease.forceRelease("request-7");
  expect(Number(burned)).toBeGreaterThan(held);
  expect(tokenOf(await lease.acquire("request-7"))).toBeGreaterThan(Number(burned));
});
