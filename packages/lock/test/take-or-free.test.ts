/** take-or-free.lua on a real server. */
import { expect, it } from "vitest";
import { takeOrFree } from "../src/scripts.generated.ts";
import { leaseOf, tokenOf } from "./lease-fixture.ts";
import type { RawLease } from "./lease-fixture.ts";
import { useRealServer } from "./real-server.ts";

const real = useRealServer();

/** Sends requests together: each a lease and "+owner" or "-owner". */
async function together(...requests: readonly (readonly [RawLease, string])[]): Promise<string[]> {
  const reply = await call((await real.nowUs()) + 5_000_000, requests);
  const [tag, ...outcomes] = (reply as string).split(" ");
  expect(tag).toBe("done");
  return outcomes;
}

function call(notAfterUs: number, requests: readonly (readonly [RawLease, string])[]): Promise<unknown> {
  const leases = requests.map(([{ keys }]) => keys.lease);
  const args = [notAfterUs, "0003000000000700", 630_000, ...requests.map(([, request]) => request)];
  return real.redis.eval(takeOrFree.source, leases.length, ...leases, ...args);
}

it("L1 takes free locks of many names, each with a token that is the server's time and a record that outlives it", async () => {
  const [a, b] = [leaseOf(real.redis, "a"), leaseOf(real.redis, "b")];
  const beforeUs = await real.nowUs();
  const tokens = await together([a, "+ann"], [b, "+bob"]);
  for (const token of tokens) expect(Number(token)).toBeGreaterThanOrEqual(beforeUs);
  expect(await a.record()).toEqual({
    format: "1",
    token: Number(tokens[0]),
    sinceUs: Number(tokens[0]),
    lengthMs: 30_000,
    delayMs: 700,
    flag: "-",
    owner: "ann",
  });
  expect(await b.record()).toMatchObject({ owner: "bob" });
  expect(await real.redis.pttl(a.keys.lease)).toBeGreaterThan(629_000);
});

it("K5 frees a lock and keeps its fence for as long as before", async () => {
  const lease = leaseOf(real.redis);
  const [token] = await together([lease, "+ann"]);
  expect(await together([lease, "-ann"])).toEqual(["freed"]);
  expect(await lease.record()).toMatchObject({ token: Number(token), sinceUs: 0, flag: "-", owner: "ann" });
  expect(await real.redis.pttl(lease.keys.lease)).toBeGreaterThan(620_000);
  expect(Number((await together([lease, "+bob"]))[0])).toBeGreaterThan(Number(token));
});

it("L2 L5 leaves a lease alone that another owner holds, and one that is the asker's already", async () => {
  const lease = leaseOf(real.redis);
  await lease.acquire("ann");
  const before = await lease.record();
  expect(await together([lease, "+bob"], [lease, "-bob"], [lease, "+ann"])).toEqual(["look", "look", "look"]);
  expect(await lease.record()).toEqual(before);
  expect(await together([leaseOf(real.redis, "nobodys"), "-bob"])).toEqual(["look"]);
  expect(await real.redis.dbsize()).toBe(1);
});

it("L2 two who ask for one lock in one step: the first gets it", async () => {
  const lease = leaseOf(real.redis);
  const outcomes = await together([lease, "+ann"], [lease, "+bob"], [lease, "-bob"]);
  expect(outcomes.slice(1)).toEqual(["look", "look"]);
  expect(await lease.record()).toMatchObject({ owner: "ann", token: Number(outcomes[0]) });
});

it("L6 takes and frees nothing where somebody waits", async () => {
  const lease = leaseOf(real.redis);
  await lease.acquire("ann");
  await lease.acquire("bob", { waits: true });
  expect(await together([lease, "-ann"])).toEqual(["look"]);
  await lease.forceRelease("operator");
  expect(await lease.record()).toMatchObject({ sinceUs: 0, flag: "q" });
  expect(await together([lease, "+eve"])).toEqual(["look"]);
  expect(tokenOf(await lease.acquire("bob", { waits: true }))).toBeGreaterThan(0);
});

it("L3 grants nothing to an owner that has released, and a repeated release frees nothing", async () => {
  const lease = leaseOf(real.redis);
  await together([lease, "+ann"], [lease, "-ann"]);
  expect(await together([lease, "+ann"], [lease, "-ann"])).toEqual(["look", "look"]);
  expect(await lease.record()).toMatchObject({ sinceUs: 0 });
});

it("L3 grants nothing to an owner that is sealed", async () => {
  const lease = leaseOf(real.redis);
  await lease.release("ann", { sealMs: 60_000 });
  expect(await together([lease, "+ann"])).toEqual(["look"]);
  expect(await lease.acquire("ann")).toBe("ended");
});

it("L1 leaves a token that is ahead of the clock to acquire, which goes on from it and keeps it for longer", async () => {
  const lease = leaseOf(real.redis);
  const ahead = (await real.nowUs()) + 3_600_000_000;
  await real.redis.set(lease.keys.lease, `1${ahead}${"0".repeat(32)}-ann`, "PX", 700_000);
  expect(await together([lease, "+bob"])).toEqual(["look"]);
  expect(tokenOf(await lease.acquire("bob"))).toBe(ahead + 1);
});

it("K3 a key of another program, or a record of a newer format, is touched by none and disturbs no other", async () => {
  const [foreign, newer, mine] = [leaseOf(real.redis, "f"), leaseOf(real.redis, "n"), leaseOf(real.redis, "m")];
  await real.redis.rpush(foreign.keys.lease, "x");
  await real.redis.pexpire(foreign.keys.lease, 10_000);
  const record = `2${"0".repeat(48)}-ann`;
  await real.redis.set(newer.keys.lease, record, "PX", 10_000);
  const outcomes = await together([foreign, "+ann"], [newer, "+bob"], [newer, "-ann"], [mine, "+ann"]);
  expect(outcomes.slice(0, 3)).toEqual(["look", "look", "look"]);
  expect(await mine.record()).toMatchObject({ owner: "ann" });
  expect(await real.redis.get(newer.keys.lease)).toBe(record);
});

it("K3 when memory is out it leaves everything to the scripts that free first", async () => {
  const [held, fresh] = [leaseOf(real.redis, "h"), leaseOf(real.redis, "n")];
  await held.acquire("ann");
  await real.redis.config("SET", "maxmemory", "1");
  try {
    expect(await together([held, "-ann"], [fresh, "+bob"])).toEqual(["look", "look"]);
    expect(await held.release("ann")).toBe("released");
  } finally {
    await real.redis.config("SET", "maxmemory", "0");
  }
});

it("K1 does nothing after its bound", async () => {
  const lease = leaseOf(real.redis);
  expect(((await call(1, [[lease, "+ann"]])) as string[])[0]).toBe("too-late");
  expect(await lease.record()).toBeNull();
});
