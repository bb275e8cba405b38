/** Waiting and hand-off: order, dead waiters, lost hints, and what it costs Redis. */
import { FaultProxy, Pod, pollUntil, Stopwatch } from "@holdfast/testkit";
import { afterEach, describe, expect, it } from "vitest";
import type { FencedLock, Hold } from "../src/index.ts";
import { hintsOf, lapseMs, leaseOf } from "./lease-fixture.ts";
import { eventLog, useRealServer } from "./real-server.ts";

const real = useRealServer();
const pods: Pod[] = [];
afterEach(async () => {
  await Promise.all(pods.splice(0).map((pod) => pod.kill()));
});

async function waiterCount(count: number, name = "a"): Promise<void> {
  await pollUntil(`${count} wait`, async () => (await leaseOf(real.redis, name).waiters()).length === count);
}

/** How many connections listen at each place where somebody waits. */
async function subscribers(): Promise<number[]> {
  const numbers = (await real.redis.pubsub("NUMSUB", ...(await leaseOf(real.redis).channels()))) as (string | number)[];
  return numbers.filter((_, index) => index % 2 === 1).map(Number);
}

async function subscriberCount(count: number): Promise<void> {
  const sum = async (): Promise<number> => (await subscribers()).reduce((total, number) => total + number, 0);
  await pollUntil(`${count} listen`, async () => (await sum()) === count);
}

/** Lets locks wait one after the other, in their order. */
async function lineUp(
  locks: readonly FencedLock[],
  taken: (place: number, hold: Hold) => void | Promise<void>,
): Promise<Promise<void>[]> {
  const waits: Promise<void>[] = [];
  for (const [place, lock] of locks.entries()) {
    waits.push(lock.acquire("a", { waitMs: 60_000 }).then((hold) => taken(place, hold)));
    await waiterCount(place + 1);
  }
  return waits;
}

describe("order", () => {
  it("L6 a release wakes exactly one waiter, first come first served", async () => {
    const holder = await real.lock({ waiterLapseMs: 60_000 }).acquire("a");
    const order: number[] = [];
    let inside = 0;
    // Nobody loses its place for not having asked in time.
    const locks = Array.from({ length: 8 }, () => real.lock({ waiterLapseMs: 60_000 }));
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

  it("L6 a release in one process hands over to a waiter in another, there and back", async () => {
    const env = { REDIS_URL: real.server.url, TTL_MS: "60000" };
    const pod = await Pod.start(new URL("./holder.pod.ts", import.meta.url), { env });
    pods.push(pod);
    await pod.ready();
    const { events, onEvent } = eventLog();
    const lock = real.lock({ onEvent });
    const tokens: number[] = [];
    const handedOver = await pollUntil("a release of the other process hands over", async () => {
      const theirs = await pod.request<{ token: number }>("acquire", { name: "a" });
      const waiting = lock.acquire("a", { waitMs: 30_000 });
      await waiterCount(1);
      await pod.request("release", { name: "a" });
      const hold = await waiting;
      hold.assertHeld();
      const back = pod.request<{ token: number }>("acquire", { name: "a", waitMs: 30_000 });
      await waiterCount(1);
      await hold.release();
      const again = await back;
      await pod.request("release", { name: "a" });
      tokens.push(theirs.token, hold.token, again.token);
      const event = events.findLast(({ type }) => type === "acquired");
      return event?.type === "acquired" && event.handedOver;
    });
    expect(handedOver).toBe(true);
    expect(tokens).toEqual(tokens.toSorted((one, other) => one - other));
    expect(new Set(tokens).size).toBe(tokens.length);
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
    using watch = Stopwatch.start();
    await holder.release();
    const hold = await waiting;
    // The first dead waiter is granted to and lapses; a poll of the living one then skips the other 19. Scheduling on top.
    expect(watch.ranMs).toBeLessThan(1_000 + 500 + 500);
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
      await lease.age(lapseMs);
      // As if the dead were not known to be dead.
      await lease.acquire("newcomer");
    }
    expect(grants).toEqual(["dead-1", "dead-2", "dead-3"]);
  });

  it("L6 a holder that dies is succeeded when its ttl is over, without any hint", async () => {
    const pod = await Pod.start(new URL("./holder.pod.ts", import.meta.url), {
      env: { REDIS_URL: real.server.url, TTL_MS: "4000" },
    });
    pods.push(pod);
    await pod.ready();
    const { token } = await pod.request<{ token: number }>("acquire", { name: "a" });
    const waiting = real.lock().acquire("a");
    await waiterCount(1);
    await pod.kill();
    using watch = Stopwatch.start();
    const hold = await waiting;
    expect(hold.token).toBeGreaterThan(token);
    expect(watch.ranMs).toBeLessThan(4_000 + 500 + 500);
  });

  it("keeps the next holder out for lockDelayMs after a holder that died", async () => {
    const lease = leaseOf(real.redis);
    const startMs = performance.now();
    await lease.acquire("dead", { leaseMs: 100, delayMs: 700 });
    await real.lock().acquire("a");
    expect(performance.now() - startMs).toBeGreaterThan(799);
  });
});

describe("lockDelayMs", () => {
  async function holderWith(delayMs: number): Promise<Pod> {
    const env = { REDIS_URL: real.server.url, TTL_MS: "300", LOCK_DELAY_MS: String(delayMs) };
    const pod = await Pod.start(new URL("./holder.pod.ts", import.meta.url), { env });
    pods.push(pod);
    await pod.ready();
    await pod.request("acquire", { name: "a" });
    return pod;
  }

  it("others are kept out for it after the ttl of a process that was killed, by the server's clock", async () => {
    const pod = await holderWith(1_200);
    const waiting = real.lock().acquire("a", { waitMs: 60_000 });
    await waiterCount(1);
    await pod.kill();
    const { sinceUs = 0 } = (await leaseOf(real.redis).record()) ?? {};
    const hold = await waiting;
    // A token is the server's time at its grant.
    expect(hold.token - sinceUs).toBeGreaterThanOrEqual((300 + 1_200) * 1_000);
    hold.assertHeld();
  });

  it("a release is followed at once, however long the delay is", async () => {
    const pod = await holderWith(86_400_000);
    expect(await pod.request("release", { name: "a" })).toEqual({ kind: "released" });
    expect(await real.lock().tryAcquire("a")).not.toBeNull();
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
      using watch = Stopwatch.start();
      await holder.release();
      const hold = await next;
      expect(watch.ranMs).toBeLessThan(500 + 400);
      await hold.release();
    }
    expect(await leaseOf(real.redis).channels()).toEqual([]);
  });

  it("a hint that comes after the grant has lapsed is not believed", async () => {
    const holder = await real.lock().acquire("a");
    const proxy = await FaultProxy.start(real.server.address);
    const redis = real.client({}, proxy.url);
    // A request that the network swallows is given up, and made again, before the wait is over.
    const waiting = real.lock({ redis, commandTimeoutMs: 2_000 }).acquire("a", { waitMs: 50_000 });
    await waiterCount(1);
    await subscriberCount(1);
    proxy.blackhole("both");
    await holder.release();
    const between = await real.lock().acquire("a", { waitMs: 40_000 });
    await between.release();
    await proxy.heal();
    const hold = await waiting;
    expect(hold.token).toBeGreaterThan(between.token);
    hold.assertHeld();
    expect(await real.lock().inspect("a")).toMatchObject({ token: hold.token });
    await proxy.close();
  });

  it("L5 a hint of a grant that lapsed before the waiter took its place again is not believed", async () => {
    const holder = await real.lock().acquire("a");
    const waiting = real.lock().acquire("a", { operationId: "ann" });
    await waiterCount(1);
    await subscriberCount(1);
    // Its look of its own after subscribing is answered, too: what it knows of its place is fresh.
    const { queue } = leaseOf(real.redis).keys;
    for (const token of [holder.token - 1, holder.token])
      expect(await real.redis.publish(queue, `ann ${token}`)).toBe(1);
    expect(await Promise.race([waiting.then(() => "granted"), real.redis.ping()])).toBe("PONG");
    await holder.release();
    expect((await waiting).token).toBeGreaterThan(holder.token);
  });

  it.each(["order 7", "orders/7 of\ntwo lines", "{7}/pay"])(
    "an operation id %j is told of its grant",
    async (operationId) => {
      const log = eventLog();
      const holder = await real.lock({ waiterLapseMs: 60_000 }).acquire("a");
      const waiting = real
        .lock({ waiterLapseMs: 60_000, onEvent: log.onEvent })
        .acquire("a", { waitMs: 60_000, operationId });
      await waiterCount(1);
      await subscriberCount(1);
      await holder.release();
      expect((await waiting).owner).toBe(operationId);
      expect(log.events).toMatchObject([{ type: "acquired", owner: operationId, handedOver: true }]);
    },
  );

  it("a hint that is nobody's, or none at all, only makes waiters look", async () => {
    const holder = await real.lock().acquire("a");
    const lock = real.lock();
    const waiting = lock.acquire("a");
    await waiterCount(1);
    await subscriberCount(1);
    const [channel = "none"] = await leaseOf(real.redis).channels();
    for (const hint of ["", "*", "x y z", "somebody 1795314791874695", "9".repeat(4_000)])
      expect(await real.redis.publish(channel, hint)).toBe(1);
    expect(await Promise.race([waiting.then(() => "granted"), real.redis.ping()])).toBe("PONG");
    await holder.release();
    await waiting;
  });
});

describe("cost", () => {
  async function scriptCalls(): Promise<number> {
    const stats = await real.redis.info("commandstats");
    return Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1] ?? 0);
  }

  async function commandsPerHandOff(waiters: number): Promise<{ redis: number; client: number }> {
    await real.redis.config("RESETSTAT");
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
    let before = -1;
    await pollUntil(
      "nobody asks any more",
      async () => {
        const asked = await scriptCalls();
        const isQuiet = asked === before && asked > 2 * waiters;
        before = asked;
        return isQuiet;
      },
      { intervalMs: 100 },
    );
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

  it("L6 a hand-off is told to one service, not to all that wait", async () => {
    const holder = await real.lock().acquire("a");
    const waits = await lineUp(
      Array.from({ length: 4 }, () => real.lock({ redis: real.client() })),
      async (_, hold) => {
        await hold.release();
      },
    );
    await subscriberCount(4);
    expect(await subscribers()).toEqual([1, 1, 1, 1]);
    const owners = await leaseOf(real.redis).waiters();
    const heard = await hintsOf(real.client(), leaseOf(real.redis));
    await holder.release();
    await Promise.all(waits);
    for (const owner of owners) {
      const { place, text } = await heard.next();
      expect([place, text.split(" ")[0]]).toEqual([owner.split("/")[0], owner]);
    }
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
