/** What is answered where too few replicas confirm: "done on the master" is said of what was done there, and of nothing else. */
import { FaultProxy, pollUntil, RedisServer } from "@holdfast/testkit";
import type { Redis } from "ioredis";
import { expect, it } from "vitest";
import { advanceFence, defineFencedScript, fencedSet } from "../src/guard/index.ts";
import { LockLostError, LockTimeoutError } from "../src/index.ts";
import { leaseOf } from "./lease-fixture.ts";
import { useRealServer } from "./real-server.ts";

const real = useRealServer({ config: { "repl-diskless-sync-delay": "0" } });
/** The server has no replica, so nobody ever confirms. */
const durability = { replicas: 1, timeoutMs: 10 };
const notReplicated = { code: "NOT_REPLICATED" };

it("a stale writer is refused, and not told that its write is done on the master", async () => {
  const incr = defineFencedScript({ name: "x", keys: ["key"], source: 'return redis.call("INCR", KEYS[1])' });
  const token = await real.nowUs();
  await fencedSet(real.redis, "user:v", "5", { resource: "lock:a", token: token + 1 });
  // One that was overtaken, and one that is older than the guard remembers.
  for (const stale of [token, 1].map((number) => ({ resource: "lock:a", token: number }))) {
    const answers = await Promise.allSettled([
      fencedSet(real.redis, "user:v", "6", stale, { durability }),
      advanceFence(real.redis, "user:v", stale, { durability }),
      incr(real.redis, stale, { key: "user:v" }, {}, { durability }),
    ]);
    for (const answer of answers) expect(answer).toMatchObject({ reason: { name: "StaleTokenError", effect: "none" } });
  }
  expect(await real.redis.get("user:v")).toBe("5");
});

it("a write that was let through is done on the master, and so is a script that failed: both may have written", async () => {
  const fail = defineFencedScript({ name: "x", keys: ["key"], source: 'return redis.error_reply("NO")' });
  const fenced = { resource: "lock:a", token: await real.nowUs() };
  await expect(fencedSet(real.redis, "user:v", "5", fenced, { durability })).rejects.toMatchObject(notReplicated);
  await expect(fail(real.redis, fenced, { key: "user:v" }, {}, { durability })).rejects.toMatchObject(notReplicated);
  expect(await real.redis.get("user:v")).toBe("5");
});

it("a lock that another one holds is just that, for who asks once and for who waits", async () => {
  const lock = real.lock({ durability });
  const hold = await real.lock().acquire("a");
  expect(await lock.tryAcquire("a")).toBeNull();
  await expect(lock.acquire("a", { waitMs: 1_000 })).rejects.toBeInstanceOf(LockTimeoutError);
  const waiting = lock.acquire("a", { waitMs: 60_000 });
  await pollUntil("it waits", async () => (await leaseOf(real.redis).waiters()).length === 1);
  await hold.release();
  // That it has the lock now is what replicas have to know.
  await expect(waiting).rejects.toMatchObject(notReplicated);
  await pollUntil("it is free", async () => (await real.lock().inspect("a")) === null);
});

it("L3 an operation whose lock was released before hears that", async () => {
  const once = { operationId: "pay-7" };
  await (await real.lock().acquire("a", once)).release();
  await expect(real.lock({ durability }).acquire("a", once)).rejects.toBeInstanceOf(LockLostError);
});

/** A replica of the server, linked. */
async function linkedReplica(): Promise<RedisServer> {
  const replica = await RedisServer.start({ config: { replicaof: `${real.server.host} ${real.server.address.port}` } });
  await pollUntil("the replica is linked", async () => (await real.redis.info("replication")).includes("state=online"));
  return replica;
}

/** How many scripts the server has executed. */
async function scriptsRun(): Promise<number> {
  const [, calls] = /^cmdstat_evalsha:calls=(\d+)/mu.exec(await real.redis.info("commandstats")) ?? [];
  return Number(calls);
}

it("L3 an acquire that the connection for replicas has sent twice: the first copy grants nothing when it arrives after the release", async () => {
  const replica = await linkedReplica();
  await using proxy = await FaultProxy.start(real.server.address);
  const redis = real.client({}, proxy.url);
  const forReplicas: Redis[] = [];
  const duplicate = redis.duplicate.bind(redis);
  redis.duplicate = (options) => {
    const client = duplicate(options);
    forReplicas.push(client);
    return client;
  };
  const lock = real.lock({ redis, durability: { replicas: 1, timeoutMs: 5_000 } });
  await (await lock.acquire("warm-up")).release();
  const first = proxy.hold("request", /lock:a/);
  const acquiring = lock.acquire("a");
  await first.hit;
  forReplicas[0]?.disconnect(true);
  const hold = await acquiring;
  await hold.release();
  await (await real.lock().acquire("a")).release();
  const before = await scriptsRun();
  first.release();
  await pollUntil("the first copy has been executed", async () => (await scriptsRun()) > before);
  expect(await lock.inspect("a")).toBeNull();
  await replica.stop();
});

it("L4 a holder whose lease is gone is told by its next renewal, though no replica confirms", async () => {
  const replica = await linkedReplica();
  const lock = real.lock({ durability: { replicas: 1, timeoutMs: 5_000 }, ttlMs: 600_000 });
  const hold = await lock.acquire("a");
  await hold.renew();
  await replica.stop();
  await real.lock().forceRelease("a");
  await expect(hold.renew()).rejects.toMatchObject({ name: "LockLostError", reason: "lost" });
  expect(hold.signal.aborted).toBe(true);
});
