/** What a holder may rely on: it is told in time, and renewal neither fails loudly nor outlives the hold. */
import { leaseMarginMs } from "@holdfast/core";
import { FaultProxy, ManualClock, Pod, pollUntil, Stopwatch } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LockLostError } from "../src/index.ts";
import type { Hold } from "../src/index.ts";
import { leaseOf } from "./lease-fixture.ts";
import { eventLog, useRealServer } from "./real-server.ts";

const real = useRealServer();

/** Resolves to the reason when the hold's signal aborts. */
function told({ signal }: Hold): Promise<unknown> {
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(signal.reason), { once: true });
  });
}

describe("the local deadline", () => {
  it("L4 the holder is told within its ttl when Redis stalls for 3 s at a ttl of 1 s", async () => {
    const hold = await real.lock({ ttlMs: 1_000 }).acquire("a");
    using watch = Stopwatch.start();
    const ranMs = told(hold).then(() => watch.ranMs);
    real.server.pause();
    try {
      // One turn of the loop more, since a busy machine runs a timer late.
      expect(await ranMs).toBeLessThanOrEqual(1_000 + 50);
      const { reason } = hold.signal;
      expect(reason).toMatchObject({ name: "LockLostError", reason: "expired", token: hold.token });
      expect(() => hold.assertHeld()).toThrow(LockLostError);
      await new Promise((resolve) => {
        setTimeout(resolve, 3_000 - watch.elapsedMs);
      });
    } finally {
      real.server.resume();
    }
    // The answers that come now revive nothing.
    await pollUntil("Redis answers", () => real.redis.ping());
    expect(hold.remainingMs()).toBe(0);
    expect(await hold.release()).toEqual({ kind: "lost" });
  });

  it("L4 lies 1 % and 2 ms before the lease ends on the server, counted from before the request", async () => {
    // Not renewed before the test is over.
    const lock = real.lock({ ttlMs: 600_000 });
    const startMs = performance.now();
    const hold = await lock.acquire("a");
    const remainingMs = hold.remainingMs();
    expect(remainingMs).toBeLessThanOrEqual(600_000 - leaseMarginMs(600_000));
    // The wall clock, which counts too, goes in whole milliseconds.
    expect(remainingMs).toBeGreaterThanOrEqual(600_000 - 6_002 - 2 - (performance.now() - startMs));
    const onServerMs = (await lock.inspect("a"))?.remainingMs ?? 0;
    expect(hold.remainingMs()).toBeLessThan(onServerMs);
  });

  it("L4 counts the wall clock when it has gone further than the monotonic one, as after a suspended machine", async () => {
    const clock = new ManualClock();
    const manual = { ...bind(clock), setTimer: realTimer, clearTimer: clearRealTimer };
    const hold = await real.lock({ ttlMs: 10_000, clock: manual }).acquire("a");
    hold.assertHeld();
    clock.stepWall(9_000);
    hold.assertHeld();
    clock.stepWall(1_000);
    expect(() => hold.assertHeld()).toThrow(LockLostError);
    expect(hold.remainingMs()).toBe(0);
  });

  it("ends a hold after holdMaxMs, however well it is renewed", async () => {
    const hold = await real.lock({ ttlMs: 60_000, renewEveryMs: 50, holdMaxMs: 500 }).acquire("a");
    expect(await told(hold)).toMatchObject({ reason: "hold-max" });
    expect(await hold.release()).toEqual({ kind: "lost" });
  });

  it("never returns a hold that has expired: an answer that comes too late is asked for again", async () => {
    const proxy = await FaultProxy.start(real.server.address);
    const redis = real.client({}, proxy.url);
    const lock = real.lock({ redis, ttlMs: 2_000 });
    await real.lock({ redis }).withLock("warm-up", () => undefined);
    const late = proxy.hold("reply", /lock:a/);
    const acquiring = lock.acquire("a");
    await late.hit;
    await new Promise((resolve) => {
      setTimeout(resolve, 2_100);
    });
    late.release();
    const hold = await acquiring;
    expect(hold.remainingMs()).toBeGreaterThan(0);
    await hold.release();
    await proxy.close();
  });
});

describe("a process that stood still", () => {
  let pod: Pod;
  beforeAll(async () => {
    pod = await Pod.start(new URL("./holder.pod.ts", import.meta.url), { env: { REDIS_URL: real.server.url } });
    await pod.ready();
  });
  afterAll(() => pod.kill());

  it("L4 assertHeld throws at once after the event loop was blocked for 1.5 s at a ttl of 1 s", async () => {
    await pod.request("acquire", { name: "a" });
    await pod.blockLoop(1_500);
    expect(await pod.request("assertHeld", { name: "a" })).toBe("LockLostError");
    expect(await pod.request("told", { name: "a" })).toBe("expired");
  });

  it("L4 L5 a holder paused past its ttl is told, cannot write, and leaves its successor's lease alone", async () => {
    await pod.request("acquire", { name: "b" });
    pod.pause();
    const next = await real.lock({ ttlMs: 60_000 }).acquire("b");
    pod.resume();
    expect(await pod.request("assertHeld", { name: "b" })).toBe("LockLostError");
    expect(await pod.request("told", { name: "b" })).toBe("expired");
    expect(await pod.request("release", { name: "b" })).toEqual({ kind: "lost" });
    next.assertHeld();
    expect(await real.lock().inspect("b")).toMatchObject({ token: next.token });
  });

  it("L4 counter-test: a flag that a timer sets still says held right after the loop was blocked", async () => {
    let expired = false;
    const timer = setTimeout(() => (expired = true), 100);
    const untilMs = performance.now() + 300;
    while (performance.now() < untilMs) Math.sqrt(untilMs);
    expect(expired).toBe(false);
    clearTimeout(timer);
  });
});

describe("renewal", () => {
  it("keeps a hold for as long as it is wanted", async () => {
    // Renewed so often that no stand-still of the machine takes the whole ttl.
    const lock = real.lock({ ttlMs: 5_000, renewEveryMs: 100 });
    const hold = await lock.acquire("a");
    await new Promise((resolve) => {
      setTimeout(resolve, 5_500);
    });
    hold.assertHeld();
    expect(await lock.inspect("a")).toMatchObject({ token: hold.token });
    expect(await hold.release()).toEqual({ kind: "released" });
  });

  it("L7 raises no unhandled rejection when Redis dies, and tells the holder by its deadline", async () => {
    const unhandled: unknown[] = [];
    const hear = (error: unknown): unknown => unhandled.push(error);
    process.on("unhandledRejection", hear);
    try {
      const { events, onEvent } = eventLog();
      const lock = real.lock({ ttlMs: 4_000, renewEveryMs: 100, commandTimeoutMs: 100, onEvent, redis: real.client() });
      const hold = await lock.acquire("a");
      const reason = told(hold);
      await real.server.kill();
      expect(await reason).toMatchObject({ reason: "expired" });
      await new Promise((resolve) => {
        setTimeout(resolve, 100);
      });
      expect(events.filter(({ type }) => type === "renewal-failed").length).toBeGreaterThan(0);
      expect(unhandled).toEqual([]);
    } finally {
      process.off("unhandledRejection", hear);
      await real.server.restart();
      await pollUntil("Redis answers", () => real.redis.ping());
    }
  });

  it("L7 a process whose holds cannot be renewed for longer than their ttl lives on, and hears of it", async () => {
    const proxy = await FaultProxy.start(real.server.address);
    const pod = await Pod.start(new URL("./holder.pod.ts", import.meta.url), { env: { REDIS_URL: proxy.url } });
    try {
      await pod.ready();
      await pod.request("acquire", { name: "a" });
      proxy.blackhole("both");
      await pollUntil("it is told", async () => (await pod.request("told", { name: "a" })) === "expired", {
        timeoutMs: 60_000,
      });
      await proxy.heal();
      await pollUntil(
        "it has the lock again",
        async () => (await pod.request<{ token: number }>("acquire", { name: "a" })).token > 0,
        { timeoutMs: 60_000 },
      );
    } finally {
      await pod.kill();
      await proxy.close();
    }
  });

  it("L7 counter-test: a renewal that nobody listens to ends the process when Redis does not answer", async () => {
    const proxy = await FaultProxy.start(real.server.address);
    const pod = await Pod.start(new URL("./careless-renewal.pod.ts", import.meta.url), {
      env: { REDIS_URL: proxy.url },
    });
    try {
      await pod.ready();
      proxy.blackhole("both");
      expect((await pod.exited).code).toBe(1);
      expect(pod.output).toContain("Command timed out");
    } finally {
      await pod.kill();
      await proxy.close();
    }
  });

  it("L7 sends nothing any more once the hold has ended", async () => {
    const redis = real.client();
    const lock = real.lock({ ttlMs: 60_000, renewEveryMs: 50, redis });
    const hold = await lock.acquire("a");
    await pollUntil("it has renewed", async () => (await evalCalls()) >= 2);
    await hold.release();
    const calls = await evalCalls();
    await new Promise((resolve) => {
      setTimeout(resolve, 400);
    });
    expect(await evalCalls()).toBe(calls);
  });

  it("L2 a renewal that finds the lease lost ends the hold at once, not at its deadline", async () => {
    const lock = real.lock({ ttlMs: 60_000 });
    const hold = await lock.acquire("a");
    const reason = told(hold);
    await real.redis.del(leaseOf(real.redis).keys.lease);
    await expect(hold.renew()).rejects.toMatchObject({ reason: "lost" });
    expect(await reason).toMatchObject({ reason: "lost" });
  });

  it("after a release there is nothing to renew", async () => {
    const hold = await real.lock().acquire("a");
    await hold.release();
    await expect(hold.renew()).rejects.toMatchObject({ reason: "released" });
    expect(() => hold.assertHeld()).toThrow(/released before/);
  });
});

it("a second release answers as the first", async () => {
  const hold = await real.lock().acquire("a");
  expect(await Promise.all([hold.release(), hold.release()])).toEqual([{ kind: "released" }, { kind: "released" }]);
  expect(await hold.release()).toEqual({ kind: "released" });
});

async function evalCalls(): Promise<number> {
  const stats = await real.redis.info("commandstats");
  return Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1] ?? 0);
}

function bind(clock: ManualClock) {
  return { monotonicMs: () => clock.monotonicMs(), wallMs: () => clock.wallMs() };
}
function realTimer(callback: () => void, delayMs: number): { timer: unknown } {
  return { timer: setTimeout(callback, delayMs) };
}
function clearRealTimer(handle: { timer: unknown }): void {
  clearTimeout(handle.timer as NodeJS.Timeout);
}
