/** Permits and a shared breaker behind Sentinel: what is there after a failover, when it was replicated. */
import { pollUntil, RedisSentinel } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { Bulkhead, DistributedBulkhead, SharedBreaker } from "../src/index.ts";
import { openCalls, watch } from "./work.ts";

const commandTimeoutMs = 20_000;

let sentinel: RedisSentinel;
const clients: Redis[] = [];
const closing: AsyncDisposable[] = [];

beforeAll(async () => {
  sentinel = await RedisSentinel.start();
}, 60_000);
afterEach(async () => {
  await Promise.all(closing.splice(0).map((one) => one[Symbol.asyncDispose]()));
  for (const client of clients.splice(0)) client.disconnect();
});
afterAll(() => sentinel.stop());

function client(): Redis {
  const redis = new Redis({ ...sentinel.clientOptions, maxRetriesPerRequest: null });
  redis.on("error", () => undefined);
  clients.push(redis);
  return redis;
}

function until(what: string, probe: () => boolean): Promise<unknown> {
  return pollUntil(what, async () => probe(), { timeoutMs: 60_000 });
}

/** Waits until both replicas have what the master has. WAIT asks for what its own connection wrote, and for all before that. */
async function replicated(): Promise<void> {
  const redis = client();
  await pollUntil(
    "the replicas have followed",
    async () => {
      await redis.set("mark", "1");
      return (await redis.wait(2, 1_000)) === 2;
    },
    { timeoutMs: 60_000 },
  );
}

it("B7 the limit holds over a failover, and permits wander afterwards", { timeout: 180_000 }, async () => {
  const [ann, bob] = ["ann", "bob"].map(() => {
    const options = { concurrencyMax: 4, timeoutMs: 150_000, leaseMs: 120_000, pollMs: 1_000, commandTimeoutMs };
    const one = new DistributedBulkhead(client(), "payments", options);
    closing.push(one);
    return one;
  }) as [DistributedBulkhead, DistributedBulkhead];
  const held = openCalls(ann, 4);
  await until("ann has all permits", () => held.running() === 4);
  await replicated();
  await sentinel.failover();
  const waiting = openCalls(bob, 2);
  await until("ann has heard from the new master that bob waits", () => ann.snapshot().limit < 4);
  // The permits are in use, so the new master has none to give.
  expect(waiting.running()).toBe(0);
  for (const work of held.works.slice(0, 2)) work.resolve("done");
  await until("bob has what came back", () => waiting.running() === 2);
  expect(ann.snapshot().inFlight + bob.snapshot().inFlight).toBe(4);
  for (const work of [...held.works, ...waiting.works]) work.resolve("done");
  await until("all have ended", () => [...held.runs, ...waiting.runs].every(({ value }) => value === "done"));
});

it(
  "B4 a breaker that was open before a failover is open for a process that starts after it",
  { timeout: 180_000 },
  async () => {
    await sentinel.ready();
    const start = async (): Promise<Bulkhead> => {
      const shared = new SharedBreaker(client(), "payments", { pollMs: 1_000, commandTimeoutMs });
      closing.push(shared);
      const one = new Bulkhead("payments", { breaker: { callsMin: 1, openMs: 600_000, shared } });
      await pollUntil("it has looked", () => shared.ready().then(() => true), { timeoutMs: 60_000 });
      return one;
    };
    const ann = await start();
    await ann.run(() => Promise.reject(new Error("down"))).catch(() => undefined);
    const master = await sentinel.currentMaster();
    await pollUntil(
      "it is in Redis",
      async () => (await master.call("EXISTS", "holdfast:{breaker:payments}:state")) === 1,
    );
    await replicated();
    await sentinel.failover();
    const bob = await start();
    await until("bob has learned that it is open", () => bob.snapshot().state === "open");
    const refused = watch(bob.run(() => 1));
    await until("his call is refused", () => refused.done);
    expect(refused.error).toMatchObject({ reason: "rejected-open", effect: "none" });
  },
);
