/** FencedLock on one server: tokens, ownership, late and repeated calls, what callers get. */
import { subscribe, tracingChannel, unsubscribe } from "node:diagnostics_channel";
import { ClosedError, Connection, withAmbientDeadline } from "@holdfast/core";
import { FaultProxy, pollUntil, Stopwatch } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { FencedLock, lockChannel, LockLostError, LockTimeoutError } from "../src/index.ts";
import type { Hold, LockEvent } from "../src/index.ts";
import { acquire } from "../src/scripts.generated.ts";
import { withAlteredLua } from "../../../scripts/lua/altered.ts";
import { leaseOf } from "./lease-fixture.ts";
import { eventLog, useRealServer } from "./real-server.ts";

const real = useRealServer();

describe("tokens", () => {
  it("L1 strictly increase over all grants of 20 contending clients, in the order of the server", async () => {
    const locks = Array.from({ length: 20 }, () => real.lock());
    const tokens: number[] = [];
    const take = async (lock: FencedLock): Promise<void> => {
      for (let round = 0; round < 10; round += 1) {
        await lock.withLock("a", (hold) => {
          tokens.push(hold.token);
        });
      }
    };
    await Promise.all(locks.map(take));
    expect(tokens).toHaveLength(200);
    expect(tokens).toEqual(tokens.toSorted((a, b) => a - b));
    expect(new Set(tokens).size).toBe(200);
  });

  it("L1 go on after all keys were lost", async () => {
    const lock = real.lock();
    const before = await lock.acquire("a");
    await real.redis.flushall();
    const after = await lock.acquire("a");
    expect(after.token).toBeGreaterThan(before.token);
  });

  it("L1 counter-test: a plain counter starts again when its key is lost", async () => {
    await real.redis.set("user:counter", 41);
    await real.redis.flushall();
    expect(await real.redis.incr("user:counter")).toBe(1);
  });

  it("belong to a resource named by primitive, and are fixed at the grant", async () => {
    const lock = real.lock();
    const first = await lock.acquire("invoice:42 {%}");
    expect(first.resource).toBe("lock:invoice:42 %7B%25%7D");
    const { token, owner } = first;
    await first.release();
    await lock.acquire("invoice:42 {%}");
    expect([first.token, first.owner]).toEqual([token, owner]);
  });
});

describe("one owner", () => {
  it("L2 only the owner renews and releases: a stranger with the same name does neither", async () => {
    const mine = await real.lock({ ttlMs: 60_000 }).acquire("a");
    const lease = leaseOf(real.redis, "a");
    expect(await lease.renew("stranger")).toBe("lost");
    expect(await lease.release("stranger")).toBe("lost");
    await mine.renew();
    expect(await mine.release()).toEqual({ kind: "released" });
  });

  it("L2 tryAcquire gives null while somebody else holds it, and a hold once it is free", async () => {
    const [ann, bob] = [real.lock(), real.lock()];
    const hold = await ann.acquire("a");
    expect(await bob.tryAcquire("a")).toBeNull();
    await hold.release();
    expect(await bob.tryAcquire("a")).not.toBeNull();
  });

  it("L2 counter-test: a grant that does not look at the lease makes two owners, each of whom holds", async () => {
    const first = await real.lock().acquire("a");
    await withAlteredLua(acquire, "nowUs >= openUs", "true", async () => {
      const second = await real.lock().tryAcquire("a");
      second?.assertHeld();
      first.assertHeld();
      expect(await real.lock().inspect("a")).toMatchObject({ token: second?.token });
    });
    expect(await first.release()).toEqual({ kind: "lost" });
  });

  it("L5 what an old holder does later leaves its successor's lease as it is", async () => {
    const lock = real.lock({ ttlMs: 60_000 });
    const old = await lock.acquire("a");
    await lock.forceRelease("a");
    const next = await lock.acquire("a");
    const before = await real.redis.get(leaseOf(real.redis).keys.lease);
    await expect(old.renew()).rejects.toMatchObject({ reason: "lost" });
    expect(await old.release()).toEqual({ kind: "lost" });
    expect(await real.redis.get(leaseOf(real.redis).keys.lease)).toBe(before);
    next.assertHeld();
  });

  it("L5 counter-test: a release that does not compare the owner frees the successor's lock", async () => {
    const lock = real.lock();
    await lock.acquire("a");
    await lock.forceRelease("a");
    await lock.acquire("a");
    await real.redis.del(leaseOf(real.redis).keys.lease);
    expect(await real.lock().tryAcquire("a")).not.toBeNull();
  });

  it("L3 the same operation id gets the same token, and is refused once it was given back", async () => {
    const lock = real.lock();
    const first = await lock.acquire("a", { operationId: "op-1" });
    const again = await lock.acquire("a", { operationId: "op-1" });
    expect(again.token).toBe(first.token);
    await first.release();
    await expect(lock.acquire("a", { operationId: "op-1" })).rejects.toMatchObject({
      name: "LockLostError",
      reason: "released",
    });
  });
});

describe("withLock", () => {
  it("returns what the function returns, also without options, and frees the lock", async () => {
    const lock = real.lock();
    expect(await lock.withLock("a", async (hold) => hold.resource)).toBe("lock:a");
    expect(await lock.withLock("a", { waitMs: 30_000 }, () => 7)).toBe(7);
    expect(await lock.inspect("a")).toBeNull();
  });

  it("throws what the function throws, also when the lock was lost meanwhile", async () => {
    const lock = real.lock();
    const failure = new Error("the work failed");
    await expect(lock.withLock("a", () => Promise.reject(failure))).rejects.toBe(failure);
    const lost = lock.withLock("a", async () => {
      await lock.forceRelease("a");
      throw failure;
    });
    await expect(lost).rejects.toBe(failure);
    expect(await lock.inspect("a")).toBeNull();
  });

  it("throws LockLostError with the function's value when the lock was lost before it ended", async () => {
    const lock = real.lock();
    const error = await lock
      .withLock("a", async () => {
        await lock.forceRelease("a");
        return "sent";
      })
      .catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(LockLostError);
    expect(error).toMatchObject({
      reason: "lost",
      value: "sent",
      resource: "lock:a",
      code: "LOCK_LOST",
      effect: "possible",
    });
  });

  it("aborts the function's signal when the lock is lost, with the reason", async () => {
    const lock = real.lock({ ttlMs: 60_000, renewEveryMs: 50 });
    const seen = lock.withLock("a", async (hold) => {
      await lock.forceRelease("a");
      return new Promise<unknown>((resolve) => {
        hold.signal.addEventListener("abort", () => resolve(hold.signal.reason), { once: true });
      });
    });
    await expect(seen).rejects.toMatchObject({
      value: expect.objectContaining({ name: "LockLostError", reason: "lost" }) as unknown,
    });
  });

  it("wants a function", async () => {
    await expect(real.lock().withLock("a", {}, undefined as unknown as () => void)).rejects.toThrow(TypeError);
  });
});

describe("giving up", () => {
  it("throws LockTimeoutError after the wait, and leaves no waiter", async () => {
    const lock = real.lock();
    await lock.acquire("a");
    // Its one request is answered long before the wait is over, so that none is under way then.
    const error = await real
      .lock({ waiterLapseMs: 60_000 })
      .acquire("a", { waitMs: 2_000 })
      .catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(LockTimeoutError);
    expect(error).toMatchObject({ resource: "lock:a", effect: "none", code: "LOCK_TIMEOUT" });
    await pollUntil("the queue is empty", async () => (await leaseOf(real.redis).waiters()).length === 0);
    expect(await lock.inspect("a")).toMatchObject({ waiters: 0 });
  });

  it("asks once when the wait is 0", async () => {
    const lock = real.lock();
    const hold = await lock.acquire("a", { waitMs: 0 });
    await expect(lock.acquire("a", { waitMs: 0 })).rejects.toBeInstanceOf(LockTimeoutError);
    await hold.release();
    expect(await leaseOf(real.redis).waiters()).toEqual([]);
  });

  it("L3 leaves no waiter behind when the signal aborts, at any moment", async () => {
    const holder = await real.lock().acquire("a");
    const waiting = real.lock();
    const reason = new Error("no longer wanted");
    for (const delayMs of [0, 1, 2, 5, 20]) {
      const controller = new AbortController();
      const acquiring = waiting.acquire("a", { signal: controller.signal });
      setTimeout(() => controller.abort(reason), delayMs);
      await expect(acquiring).rejects.toBe(reason);
    }
    await pollUntil("the queue is empty", async () => (await leaseOf(real.redis).waiters()).length === 0);
    await holder.release();
    expect(await real.lock().tryAcquire("a")).not.toBeNull();
  });

  it("L3 counter-test: without the release on giving up the lock goes to a caller that has left", async () => {
    const holder = await real.lock().acquire("a");
    await leaseOf(real.redis).acquire("has-left", { waits: true });
    await holder.release();
    expect(await real.lock().inspect("a")).toMatchObject({ owner: "has-left" });
  });

  it("does not start when the signal has aborted or the ambient deadline has passed", async () => {
    const lock = real.lock();
    const reason = new Error("before it began");
    await expect(lock.acquire("a", { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    await expect(withAmbientDeadline(0, () => lock.tryAcquire("a"))).rejects.toBeInstanceOf(LockTimeoutError);
    expect(await real.redis.keys("*")).toEqual([]);
  });

  it("waits no longer than the ambient deadline", async () => {
    const lock = real.lock();
    await lock.acquire("a");
    using watch = Stopwatch.start();
    await expect(withAmbientDeadline(80, () => real.lock().acquire("a", { waitMs: 30_000 }))).rejects.toBeInstanceOf(
      LockTimeoutError,
    );
    expect(watch.ranMs).toBeLessThan(5_000);
  });
});

it("L3 a wait whose requests were all sent and never answered ends in LockTimeoutError, whichever moment it ends at", async () => {
  const proxy = await FaultProxy.start(real.server.address);
  const redis = real.client({}, proxy.url);
  const lock = real.lock({ redis, commandTimeoutMs: 30 });
  await real.lock({ redis }).withLock("warm-up", () => undefined);
  proxy.blackhole("down");
  // In the middle of a request, and in the pause after one.
  for (const waitMs of [20, 45, 60, 75, 90, 105]) {
    const error = await lock.acquire("a", { waitMs }).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ name: "LockTimeoutError", effect: "possible" });
    expect((error as Error).message).toMatch(/Redis has not answered/);
  }
  await proxy.heal();
  await lock.close();
  await proxy.close();
});

describe("the instance", () => {
  it("close ends waits with ClosedError and gives holds back", async () => {
    const lock = real.lock();
    const hold = await lock.acquire("a");
    const { signal } = hold;
    const refused = lock.acquire("a").catch((error: unknown) => error);
    await pollUntil("it waits", async () => (await leaseOf(real.redis).waiters()).length === 1);
    await lock.close();
    expect(await refused).toBeInstanceOf(ClosedError);
    expect(signal.reason).toMatchObject({ reason: "closed" });
    expect(() => hold.assertHeld()).toThrow(LockLostError);
    expect(await real.lock().inspect("a")).toBeNull();
    await expect(lock.acquire("a")).rejects.toBeInstanceOf(ClosedError);
    await expect(lock.tryAcquire("a")).rejects.toBeInstanceOf(ClosedError);
    await lock.close();
  });

  it("L3 close while a first request is under way: ClosedError, and what it got is given back before close resolves", async () => {
    const proxy = await FaultProxy.start(real.server.address);
    const { events, onEvent } = eventLog();
    const lock = real.lock({ redis: real.client({}, proxy.url), commandTimeoutMs: 60_000, onEvent });
    await lock.withLock("warm-up", () => undefined);
    const held = proxy.hold("reply", /lock:a/);
    // One that must end before its answer is due would not begin as a first request.
    const acquiring = lock.acquire("a", { waitMs: 60_000 }).catch((error: unknown) => error);
    await held.hit;
    let closed = false;
    const closing = lock.close().then(() => (closed = true));
    await pollUntil("it is free", async () => (await leaseOf(real.redis).record())?.sinceUs === 0);
    // The answer that it is free is still on its way.
    expect(closed).toBe(false);
    held.release();
    await closing;
    expect(await acquiring).toBeInstanceOf(ClosedError);
    expect(events.filter(({ type }) => type === "not-acquired")).toMatchObject([{ reason: "closed" }]);
    await proxy.close();
  });

  it("the client stays the caller's: open after close, with its listeners as before", async () => {
    const redis = real.client();
    await redis.ping();
    Connection.of(redis);
    const before = redis.eventNames().map((event) => redis.listenerCount(event));
    const lock = new FencedLock(redis);
    await lock.withLock("a", () => undefined);
    await lock.close();
    expect(redis.eventNames().map((event) => redis.listenerCount(event))).toEqual(before);
    expect(await redis.ping()).toBe("PONG");
  });

  it("is disposable, and so is a hold", async () => {
    const lock = real.lock();
    const hold: Hold = await lock.acquire("a");
    await hold[Symbol.asyncDispose]();
    expect(await lock.inspect("a")).toBeNull();
    await lock[Symbol.asyncDispose]();
  });

  it("tells observers what happens, on the instance and on the channel", async () => {
    const { events, onEvent } = eventLog();
    const channel: LockEvent[] = [];
    const hear = (message: unknown): unknown => channel.push(message as LockEvent);
    subscribe(lockChannel, hear);
    const traced: unknown[] = [];
    const trace = tracingChannel(lockChannel);
    const start = (context: unknown): unknown => traced.push(context);
    trace.start.subscribe(start);
    try {
      const lock = real.lock({ onEvent });
      await lock.withLock("a", () => undefined);
      const hold = await lock.acquire("a");
      await lock.tryAcquire("a");
      await lock.acquire("a", { waitMs: 500 }).catch(() => undefined);
      await lock.forceRelease("a");
      await hold.renew().catch(() => undefined);
    } finally {
      unsubscribe(lockChannel, hear);
      trace.start.unsubscribe(start);
    }
    expect(events.map(({ type }) => type)).toEqual([
      "acquired",
      "released",
      "acquired",
      "not-acquired",
      "not-acquired",
      "force-released",
      "lost",
    ]);
    expect(events.flatMap((event) => (event.type === "not-acquired" ? [event.reason] : []))).toEqual([
      "busy",
      "timeout",
    ]);
    expect(channel).toEqual(events);
    expect(traced).toEqual([expect.objectContaining({ resource: "lock:a" })]);
  });

  it("an observer that throws disturbs nothing", async () => {
    const lock = real.lock({
      onEvent: () => {
        throw new Error("observer");
      },
    });
    const warned = new Promise((resolve) => process.once("warning", resolve));
    expect(await lock.withLock("a", () => 1)).toBe(1);
    await warned;
  });

  it("inspect tells the holder and how long it still has", async () => {
    const lock = real.lock({ ttlMs: 600_000 });
    expect(await lock.inspect("a")).toBeNull();
    const hold = await lock.acquire("a");
    const state = await lock.inspect("a");
    expect(state).toMatchObject({ token: hold.token, owner: hold.owner, waiters: 0 });
    expect(state?.remainingMs).toBeGreaterThan(hold.remainingMs());
  });

  it("forceRelease gives a repeat under the same operation id the same token", async () => {
    const lock = real.lock();
    const hold = await lock.acquire("a");
    const token = await lock.forceRelease("a", { operationId: "op-1" });
    expect(token).toBeGreaterThan(hold.token);
    expect(await lock.forceRelease("a", { operationId: "op-1" })).toBe(token);
  });
});
