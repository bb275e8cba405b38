/** FencedLock with Sentinel: what a failover leaves of a lock, and what it does not. */
import { pollUntil, RedisSentinel } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, it } from "vitest";
import { FencedLock } from "../src/index.ts";
import { patientMs } from "./real-server.ts";

let sentinel: RedisSentinel;
let redis: Redis;

beforeAll(async () => {
  sentinel = await RedisSentinel.start();
  redis = new Redis({ sentinels: sentinel.sentinels, name: sentinel.masterName, failoverDetector: true });
  redis.on("error", () => undefined);
}, 60_000);
afterAll(async () => {
  redis.disconnect();
  await sentinel.stop();
});

it("L1 L2 goes over to the new master with its lease and its fence, when they were replicated", async () => {
  const lock = new FencedLock(redis, {
    ttlMs: 600_000,
    commandTimeoutMs: patientMs,
    durability: { replicas: 2, timeoutMs: patientMs },
  });
  const before = await lock.acquire("a");
  await sentinel.failover();
  await pollUntil(
    "the client has followed",
    async () => (await redis.role())[0] === "master" && (await lock.inspect("a")) !== undefined,
  );
  expect(await lock.inspect("a")).toMatchObject({ token: before.token, owner: before.owner });
  await pollUntil("the new master has a replica", () => before.renew().then(() => true), {
    timeoutMs: 60_000,
    intervalMs: 100,
  });
  before.assertHeld();
  await before.release();
  expect((await lock.acquire("a")).token).toBeGreaterThan(before.token);
  await lock.close();
}, 180_000);

it("L1 L4 a grant that the failover takes back: two overlap, the tokens order them, and the old holder is told", async () => {
  await sentinel.ready();
  const lock = new FencedLock(redis, { ttlMs: 8_000, commandTimeoutMs: patientMs });
  const master = await sentinel.currentMaster();
  const replicas = sentinel.servers.filter((server) => server !== master && server.isRunning);
  // Replicas that cannot follow their master do not see the grant before it dies.
  const password = (value: string) =>
    Promise.all(replicas.map((replica) => replica.call("CONFIG", "SET", "masterauth", value)));
  await password("wrong");
  await pollUntil("no replica follows", async () => {
    await master.call("CLIENT", "KILL", "TYPE", "replica");
    return String(await master.call("INFO", "replication")).includes("connected_slaves:0");
  });
  const old = await lock.acquire("b");
  await master.kill();
  await password("");
  await sentinel.waitForFailover(master);
  const next = await lock.acquire("b", { waitMs: 60_000, ttlMs: 60_000 });
  expect(next.token).toBeGreaterThan(old.token);
  await pollUntil("the old holder is told", () => old.signal.aborted);
  expect(await old.release()).toEqual({ kind: "lost" });
  next.assertHeld();
  await lock.close();
}, 180_000);
