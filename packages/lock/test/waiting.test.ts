/** Waiting and hand-off: order, dead waiters, lost hints, and what it costs Redis. */
import { FaultProxy, Pod, pollUntil } from "@holdfast/testkit";
import { afterEach, describe, expect, it } from "vitest";
import type { FencedLock, Hold } from "../src/index.ts";
import { leaseOf } from "./lease-fixture.ts";
import { eventLog, useRealServer } from "./real-server.ts";

const real = useRealServer();
const pods: Pod[] = [];
afterEach(async () => {
  await Promise.all(pods.splice(0).map((pod) => pod.kill()));
});

async function waiterCount(count: number, name = "a"): Promise<void> {
  await pollUntil(`${count} wait`, async () => (await leaseOf(real.redis, name).waiters()).length === count);
}

async function subscriberCount(count: number): Promise<void> {
  const { queue } = leaseOf(real.redis).keys;
  await pollUntil(`${count} listen`, async () => Number((await real.redis.pubsub("NUMSUB", queue))[1]) === count);
}

/** Lets locks wait one after the other, in their order. */
async function lineUp(
  locks: readonly FencedLock[],
  taken: (place: number, hold: Hold) => void | Promise<void>,
): Promise<Promise<void>[]> {
  const waits: Promise<void>[] = [];
  for (const [place, lock] of locks.entries()) {
    waits.push(lock.acquire("a", { waitMs: 30_000 }).then((hold) => taken(place, hold)));
    await waiterCount(place + 1);
  }
  return waits;
}

describe("order", () => {
  it("L6 a release wakes exactly one waiter, first come first served", async () => {
    const holder = await real.lock().acquire("a");
    const order: number[] = [];
    let inside = 0;
    const locks = Array.from({ length: 8 }, () => real.lock());
    const waits = await lineUp(locks, async (place, hold) => {
      order.push(place);
      inside += 1;
      expect(inside).toBe(1);
      hold.assertHeld();
      await new Promise((resolve) => {
        setTimeout(resolve, 3);
      });
      inside -= 1;
      await hold.release();
    });
    await holder.release();
    await Promise.all(waits);
    expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  it("L6 a handed-over hold is renewed to its full length at once", async () => {
    const { events, onEvent } = eventLog();
    const lock = real.lock({ ttlMs: 20_000, onEvent });
    // A look of its own, as after subscribing, may be faster than the hint; the next time it listens already.
    const handedOver = await pollUntil("a release hands over", async () => {
      const holder = await real.lock().acquire("a");
      const waiting = lock.acquire("a");
      await waiterCount(1);
      await holder.release();
      const hold = await waiting;
      const event = events.findLast(({ type }) => type === "acquired");
      if (event?.type === "acquired" && event.handedOver) return hold;
      await hold.release();
      return undefined;
    });
    handedOver.assertHeld();
    await pollUntil("it has the full lease", () => handedOver.remainingMs() > 15_000);
    expect((await lock.inspect("a"))?.remainingMs).toBeGreaterThan(15_000);
  });
});

describe("dead waiters", () => {
  it("L6 any number of them together delay the others by no more than waiterLapseMs", async () => {
    const holder = await real.lock().acquire("a");
    const pod = await Pod.start(new URL("./holder.pod.ts", import.meta.url), { env: { REDIS_URL: real.server.url } });
    pods.push(pod);
    await pod.ready();
    for (let index = 0; index < 20; index += 1) await pod.request("wait", { name: "a" });
    await waiterCount(20);
    const waiting = real.lock().acquire("a", { waitMs: 30_000 });
    await waiterCount(21);
    await pod.kill();
    const startMs = performance.now();
    await holder.release();
    const hold = await waiting;
    // The first dead waiter is granted to and lapses; a poll of the living one then skips the other 19. Scheduling on top.
    expect(performance.now() - startMs).toBeLessThan(1_000 + 500);
    await hold.release();
  });

  it("L6 counter-test: a lapse for each dead waiter would take as many times as long", async () => {
    const lease = leaseOf(real.redis);
    await lease.acquire("holder");
    for (const owner of ["dead-1", "dead-2", "dead-3"]) await lease.acquire(owner, { waits: true });
    const grants: string[] = [];
    await lease.release("holder");
    for (let lapse = 0; lapse < 3; lapse += 1) {
      grants.push((await lease.record())?.owner ?? "");
      await lease.age(1_000);
      // As if the dead were not known to be dead.
      await lease.acquire("newcomer");
    }
    expect(grants).toEqual(["dead-1", "dead-2", "dead-3"]);
  });

  it("L6 a holder that dies is succeeded when its ttl is over, without any hint", async () => {
    const pod = await Pod.start(new URL("./holder.pod.ts", import.meta.url), {
      env: { REDIS_URL: real.server.url, TTL_MS: "600" },
    });
    pods.push(pod);
    await pod.ready();
    const { token } = await pod.request<{ token: number }>("acquire", { name: "a" });
    const waiting = real.lock().acquire("a");
    await waiterCount(1);
    await pod.kill();
    const startMs = performance.now();
    const hold = await waiting;
    expect(hold.token).toBeGreaterThan(token);
    expect(performance.now() - startMs).toBeLessThan(600 + 500);
  });

  it("keeps the next holder out for lockDelayMs after a holder that died", async () => {
    const lease = leaseOf(real.redis);
    await lease.acquire("dead", { leaseMs: 100, delayMs: 700 });
    const startMs = performance.now();
    await real.lock().acquire("a");
    expect(performance.now() - startMs).toBeGreaterThan(700);
  });
});

describe("hints", () => {
  it("L6 losing every one costs at most one poll interval, and a client that may not subscribe is enough", async () => {
    await real.redis.acl("SETUSER", "deaf", "on", ">deaf", "~*", "resetchannels", "+@all");
    const waiting = real.lock({ redis: real.client({ username: "deaf", password: "deaf" }) });
    for (let round = 0; round < 3; round += 1) {
      const holder = await real.lock().acquire("a");
      const next = waiting.acquire("a");
      await waiterCount(1);
      const startMs = performance.now();
      await holder.release();
      const hold = await next;
      expect(performance.now() - startMs).toBeLessThan(500 + 400);
      await hold.release();
    }
    expect(await real.redis.pubsub("NUMSUB", leaseOf(real.redis).keys.queue)).toEqual([
      leaseOf(real.redis).keys.queue,
      0,
    ]);
  });

  it("a hint that comes after the grant has lapsed is not believed", async () => {
    const holder = await real.lock().acquire("a");
    const proxy = await FaultProxy.start(real.server.address);
    const redis = real.client({}, proxy.url);
    const waiting = real.lock({ redis }).acquire("a", { waitMs: 50_000 });
    await waiterCount(1);
    await subscriberCount(1);
    proxy.blackhole("both");
    await holder.release();
    const between = await real.lock().acquire("a", { waitMs: 20_000 });
    await between.release();
    await proxy.heal();
    const hold = await waiting;
    expect(hold.token).toBeGreaterThan(between.token);
    hold.assertHeld();
    expect(await real.lock().inspect("a")).toMatchObject({ token: hold.token });
    await proxy.close();
  });

  it("a hint that is nobody's, or none at all, only makes waiters look", async () => {
    const holder = await real.lock().acquire("a");
    const lock = real.lock();
    const waiting = lock.acquire("a");
    await waiterCount(1);
    const { queue } = leaseOf(real.redis).keys;
    for (const hint of ["", "*", "x y z", "somebody 1795314791874695 00001000", "9".repeat(4_000)])
      await real.redis.publish(queue, hint);
    expect(await Promise.race([waiting.then(() => "granted"), real.redis.ping()])).toBe("PONG");
    await holder.release();
    await waiting;
  });
});

describe("cost", () => {
  async function commandsPerHandOff(waiters: number): Promise<{ redis: number; client: number }> {
    const clients = Array.from({ length: waiters }, () => real.client());
    const locks = clients.map((redis) => real.lock({ redis, waiterLapseMs: 60_000 }));
    const holder = await real.lock({ waiterLapseMs: 60_000 }).acquire("a");
    const waits = locks.map((lock) =>
      lock.acquire("a", { waitMs: 60_000 }).then(async (hold) => {
        await hold.release();
      }),
    );
    await waiterCount(waiters);
    // The subscriptions stand, and everybody has looked once more since.
    await subscriberCount(waiters);
    await new Promise((resolve) => {
      setTimeout(resolve, 100);
    });
    await real.redis.config("RESETSTAT");
    await holder.release();
    await Promise.all(waits);
    const stats = await real.redis.info("commandstats");
    const calls = [...stats.matchAll(/cmdstat_([^:]+):calls=(\d+)/g)].map(([, name, count]) => ({
      name,
      count: Number(count),
    }));
    const counted = calls.filter(({ name }) => !/^(config|info|hello|client|subscribe|ping)/.test(name ?? ""));
    const client = counted.find(({ name }) => name === "evalsha")?.count ?? 0;
    const total = counted.reduce((sum, { count }) => sum + count, 0);
    return { redis: total / waiters, client: client / waiters };
  }

  it("L6 Redis commands per hand-off do not grow with the number of waiters, and the clients send at most three", async () => {
    const few = await commandsPerHandOff(5);
    await real.redis.flushall();
    const many = await commandsPerHandOff(80);
    expect(many.client).toBeLessThanOrEqual(3);
    // One more release than hand-offs weighs more among five.
    expect(many.redis).toBeLessThanOrEqual(few.redis * 1.1);
  });

  it("20 waiters of one instance share one subscription, which ends after them", async () => {
    const holder = await real.lock().acquire("a");
    const lock = real.lock();
    const waits = Array.from({ length: 20 }, () => lock.withLock("a", () => undefined));
    await waiterCount(20);
    await subscriberCount(1);
    await holder.release();
    await Promise.all(waits);
    await lock.close();
    await subscriberCount(0);
  });
});
