/** release.lua on a real server. */
import { pollUntil } from "@holdfast/testkit";
import { expect, it } from "vitest";
import { hintChannel, lockKeys } from "../src/keys.ts";
import { hintsOf, leaseOf, tokenOf } from "./lease-fixture.ts";
import type { RawLease } from "./lease-fixture.ts";
import { useRealServer } from "./real-server.ts";

const real = useRealServer();

it("L1 frees the lease and keeps the fence", async () => {
  const lease = leaseOf(real.redis);
  const token = tokenOf(await lease.acquire("ann"));
  expect(await lease.release("ann")).toBe("released");
  expect(await lease.record()).toMatchObject({ token, sinceUs: 0, flag: "-" });
  expect(await real.redis.pttl(lease.keys.lease)).toBeGreaterThan(599_000);
  expect(tokenOf(await lease.acquire("bob"))).toBeGreaterThan(token);
});

it("L3 answers a repeat as the first time", async () => {
  const lease = leaseOf(real.redis);
  await lease.acquire("ann");
  expect(await lease.release("ann")).toBe("released");
  expect(await lease.release("ann")).toBe("released");
});

it("L2 L5 a stranger's release is lost, and frees nothing", async () => {
  const lease = leaseOf(real.redis);
  await lease.acquire("ann");
  const before = await lease.record();
  expect(await lease.release("eve")).toBe("lost");
  expect(await lease.record()).toEqual(before);
  expect(await leaseOf(real.redis, "nobody-has-it").release("eve")).toBe("lost");
});

/** Commands that a script ran, by name; the call of the script and what surrounds it are left out. */
async function commandsOf(call: () => Promise<unknown>): Promise<string[]> {
  await real.redis.config("RESETSTAT");
  await call();
  const stats = await real.redis.info("commandstats");
  const names = [...stats.matchAll(/cmdstat_([^:]+):calls=/g)].map(([, name]) => name ?? "");
  return names.filter((name) => !/^(config|info|eval|client|hello|ping)/.test(name)).toSorted();
}

it("L6 the usual release reads and writes one record, and looks for no queue", async () => {
  const lease = leaseOf(real.redis);
  await lease.acquire("ann");
  expect(await commandsOf(() => lease.release("ann"))).toEqual(["get", "set", "time"]);
});

it("L6 while somebody waits a hand-off looks for no seals", async () => {
  const lease = leaseOf(real.redis);
  await lease.acquire("ann");
  for (const owner of ["bob", "eve"]) await lease.acquire(owner, { waits: true });
  const commands = await commandsOf(() => lease.release("ann"));
  expect(commands).toContain("zrange");
  expect(commands).not.toContain("zrangebyscore");
  expect(await lease.record()).toMatchObject({ owner: "bob", flag: "q" });
});

it("L6 hands over to the first live waiter, for as long as it counts as alive, and tells it", async () => {
  const lease = leaseOf(real.redis);
  const first = tokenOf(await lease.acquire("ann"));
  await lease.acquire("bob", { waits: true });
  const aliveUntilUs = Number(await real.redis.zscore(lease.keys.seen, "bob"));
  await lease.acquire("eve", { waits: true });
  const heard = await hintsOf(real.client(), lease);
  expect(await lease.release("ann")).toBe("released");
  const record = await lease.record();
  expect(record).toMatchObject({ owner: "bob", delayMs: 0, flag: "q" });
  const { token = 0, sinceUs = 0, lengthMs } = record ?? {};
  expect(token).toBeGreaterThan(first);
  expect(lengthMs).toBe(Math.ceil((aliveUntilUs - sinceUs) / 1_000));
  expect(await heard.next()).toEqual({ place: "", text: `bob ${token}` });
  expect(await lease.waiters()).toEqual(["eve"]);
});

it.each([
  ["here/1", "here"],
  ["here/1/2", "here"],
  ["/1", ""],
  ["orders {7}/1", "orders {7}"],
])("L6 a hint for %s goes to the place before the slash, and nowhere else", async (owner, place) => {
  const lease = leaseOf(real.redis);
  await lease.acquire("ann");
  await lease.acquire(owner, { waits: true });
  await lease.acquire("last", { waits: true });
  const heard = await hintsOf(real.client(), lease);
  await lease.release("ann");
  await lease.release(owner);
  expect(await heard.next()).toMatchObject({ place, text: expect.stringContaining(`${owner} `) as string });
  expect(hintChannel(lockKeys("holdfast", "a"), owner)).toBe(`${lease.keys.queue}:${place}`);
  expect(await heard.next()).toMatchObject({ place: "", text: expect.stringMatching("^last ") as string });
});

it("L6 forgets that somebody waited when the last one is served", async () => {
  const lease = leaseOf(real.redis);
  await lease.acquire("ann");
  await lease.acquire("bob", { waits: true });
  await lease.release("ann");
  expect(await lease.record()).toMatchObject({ owner: "bob", flag: "-" });
  await lease.acquire("eve", { waits: true });
  await lease.release("eve");
  await lease.release("bob");
  expect(await lease.record()).toMatchObject({ owner: "bob", sinceUs: 0, flag: "-" });
});

it("L6 takes a waiter that gives up out of the queue, and leaves the holder alone", async () => {
  const lease = leaseOf(real.redis);
  await lease.acquire("ann");
  await lease.acquire("bob", { waits: true });
  expect(await lease.release("bob")).toBe("lost");
  expect(await lease.waiters()).toEqual([]);
  expect(await real.redis.exists(lease.keys.seen)).toBe(0);
  expect(await lease.record()).toMatchObject({ owner: "ann" });
});

it("L3 seals an owner that gives up, on a name that nobody has held and on one that is held", async () => {
  const lease = leaseOf(real.redis);
  const beforeUs = await real.nowUs();
  await lease.release("ann", { sealMs: 60_000 });
  expect(await real.redis.zrange(lease.keys.seen, "0", "-1")).toEqual(["!ann"]);
  expect(await lease.record()).toMatchObject({ flag: "q", owner: "" });
  await lease.acquire("bob");
  await lease.release("eve", { sealMs: 60_000 });
  expect(await lease.record()).toMatchObject({ flag: "q", owner: "bob" });
  await lease.release("bob", { sealMs: 60_000 });
  expect(await lease.record()).toMatchObject({ flag: "q", owner: "bob", sinceUs: 0 });
  expect(await real.redis.pexpiretime(lease.keys.seen)).toBeGreaterThan(beforeUs / 1_000 + 60_000);
});

/** Seals an owner for a moment, and lets that pass. */
async function seal(lease: RawLease, owner: string): Promise<void> {
  await lease.release(owner, { sealMs: 1 });
  await pollUntil("its time is over", async () => {
    const [, score] = await real.redis.zrange(lease.keys.seen, "0", "0", "WITHSCORES");
    return -Number(score) < (await real.nowUs());
  });
}

it("L3 a seal is gone with the dead waiters once its time is over", async () => {
  const lease = leaseOf(real.redis);
  await seal(lease, "ann");
  await lease.acquire("bob");
  await lease.acquire("dead", { waits: true });
  await real.redis.zadd(lease.keys.seen, String((await real.nowUs()) - 1_000), "dead");
  await lease.release("bob");
  expect(await real.redis.exists(lease.keys.seen, lease.keys.queue)).toBe(0);
});

it("L3 seals whose time is over do not pile up, whether or not anybody waits, and flag the record no longer", async () => {
  const lease = leaseOf(real.redis);
  await lease.acquire("bob");
  await lease.acquire("eve", { waits: true });
  for (let index = 0; index < 20; index += 1) await seal(lease, `gone-${index}`);
  expect(await real.redis.zrange(lease.keys.seen, "0", "-1")).toEqual(["!gone-19", "eve"]);
  await lease.release("eve");
  await lease.release("bob");
  expect(await lease.record()).toMatchObject({ flag: "-" });
  expect(await real.redis.exists(lease.keys.seen)).toBe(0);
});

it("K3 works when memory is out, and so does a renewal, and a grant where there is a record; one without is refused", async () => {
  const lease = leaseOf(real.redis);
  const other = leaseOf(real.redis, "b");
  await lease.acquire("ann");
  await real.redis.config("SET", "maxmemory", "1");
  try {
    await expect(other.acquire("bob")).rejects.toThrow(/OOM/);
    expect(await lease.renew("ann")).toBe("renewed");
    expect(await lease.release("ann")).toBe("released");
    expect(await lease.record()).toMatchObject({ sinceUs: 0, owner: "ann" });
    expect(await real.redis.pttl(lease.keys.lease)).toBeGreaterThan(0);
    expect(tokenOf(await lease.acquire("eve"))).toBeGreaterThan(0);
  } finally {
    await real.redis.config("SET", "maxmemory", "0");
  }
});

it("K1 does nothing after its bound", async () => {
  const lease = leaseOf(real.redis);
  await lease.acquire("ann");
  expect((await lease.release("ann", { notAfterUs: 1 }))[0]).toBe("too-late");
  expect(await lease.record()).toMatchObject({ owner: "ann", lengthMs: 30_000 });
});

it("K4 a hint that may not be published does not undo the hand-off", async () => {
  const lease = leaseOf(real.redis);
  await lease.acquire("ann");
  await lease.acquire("bob", { waits: true });
  expect(await lease.release("ann", { rules: "00000100NOSUCHCOMMAND" })).toBe("released");
  expect(await lease.record()).toMatchObject({ owner: "bob" });
});

it("refuses a record of a newer format", async () => {
  const lease = leaseOf(real.redis);
  await real.redis.set(lease.keys.lease, `2${"0".repeat(49)}ann`, "PX", 10_000);
  expect(await lease.release("ann")).toMatch(/^newer-format 2/);
});
