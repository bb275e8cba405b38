/** A process that was stopped goes on in the middle of its event loop: what comes first may be a call, and no timer has run yet. */
import { systemClock } from "@holdfast/core";
import type { Clock } from "@holdfast/core";
import { RedisServer } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { DistributedBulkhead } from "../src/index.ts";
import { openCalls, settled, turn } from "./work.ts";

let server: RedisServer;
let redis: Redis;
let one: DistributedBulkhead;

beforeAll(async () => {
  server = await RedisServer.start();
  redis = new Redis(server.url);
});

afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

beforeEach(() => server.call("FLUSHALL"));
afterEach(() => one.close());

describe("B7 a process that stood still for longer than its lease", () => {
  let stoodStillMs = 0;
  /** Both clocks go on while the process stands still; its timers have not run yet when it goes on. */
  const clock: Clock = {
    ...systemClock,
    monotonicMs: () => systemClock.monotonicMs() + stoodStillMs,
    wallMs: () => systemClock.wallMs() + stoodStillMs,
  };

  function permits(concurrencyMax: number): DistributedBulkhead {
    one = new DistributedBulkhead(redis, "payments", {
      concurrencyMax,
      clock,
      timeoutMs: 600_000,
      // Longer than a machine really stands still.
      leaseMs: 60_000,
      commandTimeoutMs: 60_000,
      pollMs: 50,
    });
    return one;
  }

  /** Lets promises go on, and no timer. */
  async function reactions(): Promise<void> {
    for (let step = 0; step < 10; step += 1) await Promise.resolve();
  }

  it("B7 sends no call on idle permits that it no longer has", async () => {
    permits(4);
    await Promise.all([1, 2, 3, 4].map(() => one.run(() => turn())));
    expect(one.snapshot()).toMatchObject({ held: 4, limit: 4, inFlight: 0 });
    stoodStillMs += 100_000;
    const next = openCalls(one, 1);
    expect(next.running()).toBe(0);
    await settled(() => next.running() === 1, "it has asked anew");
    next.works[0]?.resolve("");
  });

  it("B7 hands no permit that comes back to a call that waits", async () => {
    permits(1);
    const { works, running } = openCalls(one, 2);
    await settled(() => running() === 1, "one runs");
    stoodStillMs += 100_000;
    works[0]?.resolve("");
    await reactions();
    expect(one.snapshot()).toMatchObject({ inFlight: 0, queued: 1, held: 0 });
    await settled(() => running() === 2, "it has asked anew");
    works[1]?.resolve("");
  });

  it("B7 begins no call after one that has blocked the loop for longer than the lease", async () => {
    permits(2);
    const order: string[] = [];
    const calls = ["blocks", "waits"].map((name) =>
      one.run(() => {
        order.push(name);
        if (name === "waits") return;
        stoodStillMs += 100_000;
        queueMicrotask(() => order.push(`${one.snapshot().held} held`));
      }),
    );
    await Promise.all(calls);
    expect(order).toEqual(["blocks", "0 held", "waits"]);
  });

  it("B7 counter-test: within its lease it does both", async () => {
    permits(1);
    await one.run(() => turn());
    stoodStillMs += 500;
    const { works, running } = openCalls(one, 2);
    expect(running()).toBe(1);
    works[0]?.resolve("");
    await reactions();
    expect(running()).toBe(2);
    works[1]?.resolve("");
  });
});
