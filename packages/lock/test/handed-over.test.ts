/** A hold that a release handed over: how long it counts, and what becomes of a request that the hand-off overtook. */
import { once } from "node:events";
import { leaseMarginMs } from "@holdfast/core";
import { FaultProxy, pollUntil, Stopwatch } from "@holdfast/testkit";
import type { Redis } from "ioredis";
import { afterEach, expect, it } from "vitest";
import { LockLostError } from "../src/index.ts";
import type { FencedLock, Hold, LockEvent } from "../src/index.ts";
import { acquire, renew } from "../src/scripts.generated.ts";
import { leaseOf } from "./lease-fixture.ts";
import { eventLog, useRealServer } from "./real-server.ts";

const real = useRealServer();
const proxies: FaultProxy[] = [];
afterEach(async () => {
  await Promise.all(proxies.splice(0).map((proxy) => proxy.close()));
});

/** A client by way of a proxy, on a server that knows the scripts: what a test holds up is then the request itself. */
async function proxied(): Promise<{ proxy: FaultProxy; redis: Redis }> {
  await real.lock().withLock("warm-up", { signal: new AbortController().signal }, (hold) => hold.renew());
  const proxy = await FaultProxy.start(real.server.address);
  proxies.push(proxy);
  const redis = real.client({}, proxy.url);
  await redis.ping();
  return { proxy, redis };
}

/** Resolves when one waits and listens, and no request of it has come for a while since. */
async function waitsQuietly(): Promise<void> {
  const lease = leaseOf(real.redis);
  await pollUntil("it listens", async () => (await lease.channels()).length === 1);
  let before: string | null = null;
  await pollUntil(
    "it asks no more",
    async () => {
      const [owner = ""] = await lease.waiters();
      const seen = await real.redis.zscore(lease.keys.seen, owner);
      const isQuiet = seen !== null && seen === before;
      before = seen;
      return isQuiet;
    },
    { intervalMs: quietMs },
  );
}

const quietMs = 200;

function unlessLost(error: unknown): void {
  if (!(error instanceof LockLostError)) throw error;
}

async function scriptCalls(): Promise<number> {
  const stats = await real.redis.info("commandstats");
  return Number(/cmdstat_evalsha:calls=(\d+)/u.exec(stats)?.[1] ?? 0);
}

it.each([
  ["", 1_500],
  [", and when the ttl is that of this acquire alone", 60_000],
])(
  "L4 counts no longer than its ttl, when its first renewal is executed and the answer is lost%s",
  async (_, usualTtlMs) => {
    const { proxy, redis } = await proxied();
    const ttlMs = 1_500;
    const bob = real.lock({ redis, ttlMs: usualTtlMs, waiterLapseMs: 20_000 });
    const holder = await real.lock({ waiterLapseMs: 20_000 }).acquire("a");
    const waiting = bob.acquire("a", { ttlMs });
    await waitsQuietly();
    const held = proxy.hold("reply", new RegExp(renew.sha1, "u"), { times: Infinity });
    await holder.release();
    const hold = await waiting;
    await held.hit;
    const next = await real.lock({ waiterLapseMs: 20_000 }).acquire("a", { waitMs: 60_000 });
    expect(next.token).toBeGreaterThan(hold.token);
    expect(hold.remainingMs()).toBe(0);
    expect(() => hold.assertHeld()).toThrow(LockLostError);
    expect(hold.signal.aborted).toBe(true);
    held.release();
  },
);

it("L4 counts from the last request that was answered, not from the hint", async () => {
  const { proxy, redis } = await proxied();
  const { events, onEvent } = eventLog();
  const lapseMs = 60_000;
  const holder = await real.lock({ waiterLapseMs: lapseMs }).acquire("a");
  const waiting = real.lock({ redis, ttlMs: 120_000, waiterLapseMs: lapseMs, onEvent }).acquire("a");
  await waitsQuietly();
  const held = proxy.hold("reply", new RegExp(renew.sha1, "u"));
  await holder.release();
  const hold = await waiting;
  const leftMs = hold.remainingMs();
  expect(events).toMatchObject([{ type: "acquired", handedOver: true }]);
  expect(leftMs).toBeLessThanOrEqual(lapseMs - leaseMarginMs(lapseMs) - quietMs);
  expect(leftMs).toBeGreaterThan(lapseMs / 4);
  await held.hit;
  held.release();
  await hold.release();
});

it("L3 a request that the hand-off overtook is granted nothing after the hold's release", async () => {
  const { proxy, redis } = await proxied();
  const { events, onEvent } = eventLog();
  const holder = await real.lock({ waiterLapseMs: 8_000 }).acquire("a");
  const waiting = real.lock({ redis, waiterLapseMs: 8_000, onEvent }).acquire("a");
  await waitsQuietly();
  const poll = proxy.hold("request", new RegExp(acquire.sha1, "u"));
  await poll.hit;
  await holder.release();
  const hold = await waiting;
  expect(events).toMatchObject([{ type: "acquired", handedOver: true }]);
  // The socket is gone for the client, which connects anew; what it wrote is still on its way to Redis.
  redis.disconnect(true);
  expect(await hold.release()).toEqual({ kind: "released" });
  // Others come and go, so that the record does not tell the first owner any more.
  await real.lock().withLock("a", () => undefined);
  const before = await scriptCalls();
  poll.release();
  await pollUntil("it has arrived", async () => (await scriptCalls()) > before);
  expect(await real.lock().inspect("a")).toBeNull();
});

/** A holder, and a waiter that listens and is asking, whose answer is held up until it is let go. */
async function asksWhileItListens(): Promise<{
  readonly holder: Hold;
  readonly waiting: Promise<Hold>;
  readonly events: readonly LockEvent[];
  /** Lets the answer go once the hint of `act` has come. */
  readonly hintFirst: (act: () => Promise<unknown>) => Promise<void>;
}> {
  const { proxy, redis } = await proxied();
  const { events, onEvent } = eventLog();
  const [ann, bob] = [real.lock(), real.lock({ redis, waiterLapseMs: 60_000, onEvent })];
  const first = await ann.acquire("a");
  const waited = bob.acquire("a");
  await waitsQuietly();
  await first.release();
  await (await waited).release();
  // It listens for a while after it has waited.
  const holder = await ann.acquire("a");
  const [channel = ""] = await leaseOf(real.redis).channels();
  const subscriber = real.client();
  await subscriber.subscribe(channel);
  const answer = proxy.hold("reply", new RegExp(acquire.sha1, "u"));
  const waiting = bob.acquire("a", { waitMs: 600_000 });
  await answer.hit;
  const hintFirst = async (act: () => Promise<unknown>): Promise<void> => {
    const told = once(subscriber, "message");
    await act();
    await told;
    // By the same way as the hint, after it.
    const beside = real.client({}, proxy.url);
    for (let times = 0; times < 3; times += 1) await beside.ping();
    answer.release();
  };
  return { holder, waiting, events, hintFirst };
}

it("L6 whoever is handed the lock before it hears that it waits has it then, and not by its next poll", async () => {
  const { holder, waiting, events, hintFirst } = await asksWhileItListens();
  await hintFirst(() => holder.release());
  const hold = await waiting;
  expect(events.filter(({ type }) => type === "acquired").at(-1)).toMatchObject({ handedOver: true });
  expect(await hold.release()).toEqual({ kind: "released" });
});

it("L6 whoever shall look before it hears that it waits looks then", async () => {
  const { waiting, hintFirst } = await asksWhileItListens();
  using watch = Stopwatch.start();
  await hintFirst(() => real.lock().forceRelease("a"));
  const hold = await waiting;
  // Its next poll would come after 24 s at the earliest.
  expect(watch.ranMs).toBeLessThan(20_000);
  await hold.release();
});

it("others are kept out for lockDelayMs after a holder that was handed the lock and died before it renewed", async () => {
  const { proxy, redis } = await proxied();
  const [lockDelayMs, waiterLapseMs] = [1_500, 3_000];
  const { events, onEvent } = eventLog();
  const holder = await real.lock({ lockDelayMs }).acquire("a");
  const handedOver = real
    .lock({ redis, ttlMs: 60_000, lockDelayMs, waiterLapseMs, onEvent })
    .acquire("a")
    .then(() => redis.disconnect());
  await waitsQuietly();
  proxy.hold("request", new RegExp(renew.sha1, "u"));
  await holder.release();
  await handedOver;
  const { sinceUs = 0, lengthMs = 0 } = (await leaseOf(real.redis).record()) ?? {};
  expect(events).toMatchObject([{ type: "acquired", handedOver: true }]);
  expect(lengthMs).toBeLessThanOrEqual(waiterLapseMs);
  const next = await real.lock({ lockDelayMs }).acquire("a", { waitMs: 60_000 });
  // A token is the server's time at its grant.
  expect(next.token - sinceUs).toBeGreaterThanOrEqual((lengthMs + lockDelayMs) * 1_000);
});

it("L6 a waiter of a lock with a longer waiterLapseMs has its turn among those with a shorter one", async () => {
  const busy = Array.from({ length: 3 }, () => real.lock({ waiterLapseMs: 100 }));
  const holder = await (busy[0] as FencedLock).acquire("a");
  let served = 0;
  const over = new AbortController();
  const patient = real
    .lock({ waiterLapseMs: 20_000 })
    .acquire("a", { waitMs: 60_000 })
    .then(async (hold) => {
      over.abort();
      await hold.release();
    });
  await waitsQuietly();
  const turns = busy.map(async (lock) => {
    for (; !over.signal.aborted && served < 30; served += 1)
      // What is handed over holds for 100 ms, which a busy machine may stand still.
      await lock.withLock("a", { waitMs: 60_000 }, () => real.redis.ping()).catch(unlessLost);
  });
  await pollUntil("all wait", async () => (await leaseOf(real.redis).waiters()).length >= 3);
  await holder.release();
  await Promise.all([patient, ...turns]);
  expect(served).toBeLessThan(30);
});
