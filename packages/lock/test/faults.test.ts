/** FencedLock when Redis is down, read-only, stalled, flushed, or answers late, and when replies are lost or come twice. */
import { OutcomeUnknownError, RedisRefusedError, RedisUnavailableError } from "@holdfast/core";
import { FaultProxy, pollUntil, RedisServer, Stopwatch } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { afterEach, describe, expect, it } from "vitest";
import { FencedLock, LockTimeoutError } from "../src/index.ts";
import { leaseOf } from "./lease-fixture.ts";
import { eventLog, patientMs, useRealServer } from "./real-server.ts";

const real = useRealServer();
const proxies: FaultProxy[] = [];
afterEach(async () => {
  await Promise.all(proxies.splice(0).map((proxy) => proxy.close()));
});

async function proxied(): Promise<{ proxy: FaultProxy; redis: Redis }> {
  const proxy = await FaultProxy.start(real.server.address);
  proxies.push(proxy);
  const redis = real.client({}, proxy.url);
  await redis.ping();
  return { proxy, redis };
}

/** Brings both ways of asking to the server, so that what a test holds up is the request itself and not one for an unknown script. */
async function warmUp(redis: Redis): Promise<void> {
  // With the usual ttl: a lease as short as some tests need ends during a pause of a busy machine.
  const lock = real.lock({ redis });
  await lock.withLock("warm-up", () => undefined);
  await lock.withLock("warm-up", { signal: new AbortController().signal }, () => undefined);
}

function sleepMs(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

describe("a lost reply to acquire", () => {
  it("L3 gives the caller the lock: the repeat gets the same token", async () => {
    const { proxy, redis } = await proxied();
    const lock = real.lock({ redis });
    await warmUp(redis);
    const fault = proxy.swallowReply(/lock:a/);
    const hold = await lock.acquire("a");
    expect(fault.hits).toBe(1);
    expect(await real.lock().inspect("a")).toMatchObject({ token: hold.token, owner: hold.owner });
    expect(await hold.release()).toEqual({ kind: "released" });
  });

  it("L3 is a clean failure when the caller gives up, and what it got is given back", async () => {
    const { proxy, redis } = await proxied();
    const lock = real.lock({ redis, commandTimeoutMs: 500 });
    await warmUp(redis);
    const held = proxy.hold("reply", /lock:a/);
    const error = await lock.acquire("a", { waitMs: 50 }).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(LockTimeoutError);
    expect(error).toMatchObject({ effect: "possible" });
    expect(await leaseOf(real.redis).record()).not.toBeNull();
    await pollUntil("it is free", async () => (await real.lock().inspect("a")) === null);
    held.release();
  });

  it("L3 no request of a caller that gave up is granted later, when it arrives after the release", async () => {
    const { proxy, redis } = await proxied();
    const lock = real.lock({ redis, commandTimeoutMs: 5_000 });
    await warmUp(redis);
    const held = proxy.hold("request", /lock:a/);
    const controller = new AbortController();
    const acquiring = lock.acquire("a", { signal: controller.signal }).catch((caught: unknown) => caught);
    await held.hit;
    // The socket is gone for the client, which connects anew; what it wrote is still on its way to Redis.
    redis.disconnect(true);
    controller.abort(new Error("given up"));
    expect(await acquiring).toMatchObject({ message: "given up" });
    await pollUntil("the owner is sealed", async () => (await real.redis.exists(leaseOf(real.redis).keys.seen)) === 1);
    held.release();
    await sleepMs(50);
    expect(await real.lock().inspect("a")).toBeNull();
    expect(await real.lock().tryAcquire("a")).not.toBeNull();
  });

  it("L3 a request that was sent twice is not granted after the hold's release", async () => {
    const { proxy, redis } = await proxied();
    const lock = real.lock({ redis, commandTimeoutMs: 5_000 });
    await warmUp(redis);
    const held = proxy.hold("request", /lock:a/);
    const acquiring = lock.acquire("a");
    await held.hit;
    redis.disconnect(true);
    const hold = await acquiring;
    await hold.release();
    // Others come and go, so that the record does not tell the first owner any more.
    await real.lock().withLock("a", () => undefined);
    held.release();
    await sleepMs(50);
    expect(await real.lock().inspect("a")).toBeNull();
  });

  it("L3 what arrives after an abort without a connection is granted for one ttl at most, and nothing after its bound", async () => {
    const { proxy, redis } = await proxied();
    const commandTimeoutMs = 1_000;
    const ttlMs = 500;
    const lock = real.lock({ redis, ttlMs, commandTimeoutMs });
    await warmUp(redis);
    const held = proxy.hold("request", /lock:a/);
    using watch = Stopwatch.start();
    const controller = new AbortController();
    const acquiring = lock.acquire("a", { signal: controller.signal }).catch((caught: unknown) => caught);
    await held.hit;
    // Nothing can be given back: the client finds no server. What it wrote is still on its way.
    await proxy.refuse();
    redis.disconnect(true);
    controller.abort(new Error("given up"));
    expect(await acquiring).toMatchObject({ message: "given up" });
    held.release();
    const other = await real.lock().acquire("a", { waitMs: 50_000 });
    // Its bound, its lease, half a lapse until the other one looks again; and scheduling.
    expect(watch.ranMs).toBeLessThan(commandTimeoutMs + ttlMs + 500 + 1_000);
    await other.release();
    await proxy.accept();
    await warmUp(redis);
    expect(await real.lock().inspect("a")).toBeNull();
  });

  it("L3 giving back goes on for as long as a request can be granted, also beyond a lease that is shorter", async () => {
    const { proxy, redis } = await proxied();
    const ttlMs = 50;
    const { events, onEvent } = eventLog();
    const lock = real.lock({ redis, ttlMs, commandTimeoutMs: 20_000, onEvent });
    await warmUp(redis);
    const held = proxy.hold("request", /lock:a/);
    const controller = new AbortController();
    const acquiring = lock.acquire("a", { signal: controller.signal }).catch((caught: unknown) => caught);
    await held.hit;
    // Refuses each attempt at once, unlike a server that is gone. The port of its master answers nobody.
    await real.redis.replicaof("127.0.0.1", "1");
    try {
      redis.disconnect(true);
      controller.abort(new Error("given up"));
      expect(await acquiring).toMatchObject({ message: "given up" });
      // The second one is made when the lease is over; whoever stops there makes no third one.
      const failed = () => events.filter(({ type }) => type === "release-failed").length;
      await pollUntil("attempts go on beyond the lease", () => failed() > 3);
    } finally {
      await real.redis.replicaof("NO", "ONE");
    }
    await pollUntil("the owner is sealed", async () => (await real.redis.exists(leaseOf(real.redis).keys.seen)) === 1);
    held.release();
    await sleepMs(50);
    expect(await real.lock().inspect("a")).toBeNull();
    expect((await leaseOf(real.redis).record())?.token).toBe(0);
  });

  it("L3 a request that was sent twice is granted nothing after a failure, when only its second copy had been answered, and not with a grant", async () => {
    const { proxy, redis } = await proxied();
    const lock = real.lock({ redis, commandTimeoutMs: 20_000 });
    await warmUp(redis);
    const held = proxy.hold("request", /lock:a/);
    const acquiring = lock.tryAcquire("a").catch((caught: unknown) => caught);
    await held.hit;
    // The copy is told to look at the queue, and that is refused: its caller has failed. The first is still on its way.
    await real.redis.replicaof("127.0.0.1", "1");
    try {
      redis.disconnect(true);
      expect(await acquiring).toMatchObject({ reason: "READONLY" });
    } finally {
      await real.redis.replicaof("NO", "ONE");
    }
    await pollUntil("the owner is sealed", async () => (await real.redis.exists(leaseOf(real.redis).keys.seen)) === 1);
    held.release();
    await sleepMs(50);
    expect(await real.lock().inspect("a")).toBeNull();
  });

  it("tryAcquire ends in OutcomeUnknownError, and the lock is free again before its ttl", async () => {
    const { proxy, redis } = await proxied();
    // Long enough that the request is in time, however long the server stands still before it.
    const lock = real.lock({ redis, ttlMs: 60_000, commandTimeoutMs: 4_000 });
    await warmUp(redis);
    proxy.blackhole("down");
    const error = await lock.tryAcquire("a").catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    expect(await leaseOf(real.redis).record()).not.toBeNull();
    await proxy.heal();
    await pollUntil("it is free", async () => (await real.lock().inspect("a")) === null);
  });
});

describe("repeats and lost replies of renew and release", () => {
  it("L3 a release whose reply is lost has released, also when somebody holds the lock by then", async () => {
    const { proxy, redis } = await proxied();
    const hold = await real.lock({ redis }).acquire("a");
    const next = real.lock().acquire("a");
    await pollUntil("it waits", async () => (await leaseOf(real.redis).waiters()).length === 1);
    const fault = proxy.swallowReply(/lock:a/);
    expect(await hold.release()).toEqual({ kind: "released" });
    expect(fault.hits).toBe(1);
    const holder = await next;
    expect(await real.lock().inspect("a")).toMatchObject({ token: holder.token });
  });

  it("L3 a renewal that arrives twice or late leaves the token, and revives nothing", async () => {
    const { proxy, redis } = await proxied();
    const lock = real.lock({ redis });
    const hold = await lock.acquire("a");
    proxy.repeat(/lock:a/);
    await hold.renew();
    expect(await lock.inspect("a")).toMatchObject({ token: hold.token });
    const held = proxy.hold("request", /lock:a/);
    const renewing = hold.renew().catch((caught: unknown) => caught);
    await held.hit;
    redis.disconnect(true);
    await pollUntil("it is connected again", () => redis.status === "ready");
    await renewing;
    await hold.release();
    held.release();
    await sleepMs(50);
    expect(await lock.inspect("a")).toBeNull();
  });

  it("a release that fails is told, goes on in the background, and can be asked for again", async () => {
    const { proxy, redis } = await proxied();
    const { events, onEvent } = eventLog();
    const hold = await real.lock({ redis, ttlMs: 60_000, commandTimeoutMs: 100, onEvent }).acquire("a");
    proxy.blackhole("up");
    await expect(hold.release()).rejects.toBeInstanceOf(OutcomeUnknownError);
    expect(events.some(({ type }) => type === "release-failed")).toBe(true);
    await proxy.heal({ held: "drop" });
    await pollUntil("it is free", async () => (await real.lock().inspect("a")) === null);
    expect(await hold.release()).toEqual({ kind: "released" });
  });

  it("K1 L3 a release that is asked for again, since the first got no answer, answers as the first did, whoever has the lock by then", async () => {
    const { proxy, redis } = await proxied();
    const hold = await real.lock({ redis, ttlMs: 60_000, commandTimeoutMs: 2_000 }).acquire("a");
    const next = real.lock().acquire("a");
    await pollUntil("it waits", async () => (await leaseOf(real.redis).waiters()).length === 1);
    proxy.blackhole("down");
    await expect(hold.release()).rejects.toBeInstanceOf(OutcomeUnknownError);
    const holder = await next;
    await proxy.heal({ held: "drop" });
    await pollUntil("it is connected again", async () => (await redis.ping()) === "PONG");
    expect(await hold.release()).toEqual({ kind: "released" });
    expect(await real.lock().inspect("a")).toMatchObject({ token: holder.token });
  });

  it("withLock gives the function's value when only the release's answer is lost", async () => {
    const { proxy, redis } = await proxied();
    const value = await real.lock({ redis, commandTimeoutMs: 100 }).withLock("a", () => {
      proxy.blackhole("down");
      return "done";
    });
    expect(value).toBe("done");
    await proxy.heal();
  });
});

describe("a server that does not work", () => {
  it("down: a clean failure after the wait that names the cause, and the lock once it is back", async () => {
    const server = await RedisServer.start();
    const redis = new Redis(server.url);
    redis.on("error", () => undefined);
    const { events, onEvent } = eventLog();
    const lock = new FencedLock(redis, { commandTimeoutMs: 200 });
    const trying = new FencedLock(redis, { commandTimeoutMs: 200, onEvent });
    try {
      await redis.ping();
      await server.kill();
      await expect(trying.tryAcquire("a")).rejects.toBeInstanceOf(RedisUnavailableError);
      await expect(lock.acquire("a", { waitMs: 300 })).rejects.toMatchObject({
        name: "RedisUnavailableError",
        effect: "none",
      });
      // What was never sent is not given back.
      expect(events.map(({ type }) => type)).toEqual(["not-acquired"]);
      const acquiring = lock.acquire("a", { waitMs: 50_000 });
      await server.restart();
      await (await acquiring).release();
    } finally {
      await Promise.all([lock.close(), trying.close()]);
      redis.disconnect();
      await server.stop();
    }
  });

  it("read-only: refused at once when it does not wait, after the wait when it does", async () => {
    const master = await RedisServer.start();
    const redis = new Redis(master.url);
    const lock = new FencedLock(redis, { commandTimeoutMs: patientMs });
    try {
      const hold = await lock.acquire("held");
      await redis.call("replicaof", real.server.host, real.server.port);
      await expect(lock.tryAcquire("a")).rejects.toMatchObject({ reason: "READONLY", effect: "none" });
      await expect(lock.acquire("a", { waitMs: 500 })).rejects.toMatchObject({ reason: "READONLY" });
      await expect(hold.renew()).rejects.toMatchObject({ reason: "READONLY" });
      await redis.call("replicaof", "no", "one");
      await (await lock.acquire("a")).release();
    } finally {
      await lock.close();
      redis.disconnect();
      await master.stop();
    }
  });

  it("stalled: the caller gets its answer after the wait, and the lock when it goes on in time", async () => {
    const lock = real.lock();
    await lock.withLock("warm-up", () => undefined);
    real.server.pause();
    using watch = Stopwatch.start();
    const error = await lock.acquire("a", { waitMs: 150 }).catch((caught: unknown) => caught);
    expect(watch.ranMs).toBeLessThan(1_500);
    expect(error).toBeInstanceOf(LockTimeoutError);
    expect((error as Error).message).toMatch(/Redis has not answered/);
    const acquiring = lock.acquire("b");
    real.server.resume();
    await (await acquiring).release();
    await pollUntil("a is free", async () => (await lock.inspect("a")) === null);
  });

  it("flushed: the holder is told at its next renewal, and the next token is higher", async () => {
    const lock = real.lock({ ttlMs: 60_000, renewEveryMs: 50 });
    const hold = await lock.acquire("a");
    await real.redis.flushall();
    await pollUntil("it is told", () => hold.signal.aborted);
    expect(hold.signal.reason).toMatchObject({ reason: "lost" });
    expect((await lock.acquire("a")).token).toBeGreaterThan(hold.token);
  });

  it("L1 L6 flushed while others wait: the holder is told, and each of them has its turn, with a higher token", async () => {
    const hold = await real.lock().acquire("a");
    const tokens: number[] = [hold.token];
    let inside = 0;
    const waits = Array.from({ length: 5 }, () =>
      real.lock().withLock("a", { waitMs: 120_000 }, async ({ token }) => {
        inside += 1;
        expect(inside).toBe(1);
        tokens.push(token);
        await real.redis.ping();
        inside -= 1;
      }),
    );
    await pollUntil("all wait", async () => (await leaseOf(real.redis).waiters()).length === 5);
    await real.redis.flushall();
    // Whoever waits looks by itself, since nobody tells it.
    await Promise.all(waits);
    await expect(hold.renew()).rejects.toMatchObject({ reason: "lost" });
    expect(tokens).toHaveLength(6);
    expect(tokens).toEqual(tokens.toSorted((one, other) => one - other));
    expect(new Set(tokens).size).toBe(6);
  });

  it("answering later than a lease is long: tryAcquire says so, gives back what it got, and asks no more", async () => {
    const { proxy, redis } = await proxied();
    const { events, onEvent } = eventLog();
    const lock = real.lock({ redis, ttlMs: 50, commandTimeoutMs: 60_000, onEvent });
    await warmUp(redis);
    proxy.latency({ upMs: 40, downMs: 40 });
    const error = await lock.tryAcquire("a").catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(LockTimeoutError);
    expect((error as Error).message).toMatch(/more slowly than the lease is long; raise ttlMs/);
    await pollUntil("it is given back", async () => (await leaseOf(real.redis).record())?.sinceUs === 0, {
      timeoutMs: 60_000,
    });
    expect(events.map(({ type }) => type)).toEqual(["not-acquired"]);
    await proxy.heal();
    // The answer to that may still be on its way.
    await lock.close();
  });

  it("without permission: refused for good, without a second try", async () => {
    await real.redis.acl("SETUSER", "guest", "on", ">guest", "~*", "+@read", "+ping", "+info");
    const lock = real.lock({ redis: real.client({ username: "guest", password: "guest" }) });
    using watch = Stopwatch.start();
    await expect(lock.acquire("a", { waitMs: 5_000 })).rejects.toBeInstanceOf(RedisRefusedError);
    expect(watch.ranMs).toBeLessThan(2_000);
  });

  it("with another program's data under the key: refused, and the data stays", async () => {
    const { lease } = leaseOf(real.redis).keys;
    await real.redis.set(lease, "somebody else's", "PX", 60_000);
    await expect(real.lock().acquire("a")).rejects.toMatchObject({ code: "UNEXPECTED_REPLY" });
    await real.redis.set(lease, "2" + "0".repeat(60), "PX", 60_000);
    await expect(real.lock().acquire("a")).rejects.toMatchObject({ code: "NEWER_FORMAT", found: 2 });
    await real.redis.del(lease);
    await real.redis.lpush(lease, "a list");
    await expect(real.lock().acquire("a")).rejects.toMatchObject({ reason: "WRONGTYPE", effect: "none" });
    expect(await real.redis.lrange(lease, "0", "-1")).toEqual(["a list"]);
    await real.redis.del(lease);
  });

  it("with too few replicas: durability makes the acquire fail, and gives the lease back", async () => {
    const lock = real.lock({ durability: { replicas: 1, timeoutMs: 50 } });
    await expect(lock.acquire("a")).rejects.toMatchObject({ code: "NOT_REPLICATED" });
    await pollUntil("it is free", async () => (await real.lock().inspect("a")) === null);
  });
});
