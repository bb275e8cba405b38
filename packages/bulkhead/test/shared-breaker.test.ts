import { FaultProxy, pollUntil, RedisServer } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Bulkhead, SharedBreaker } from "../src/index.ts";
import type { BreakerOptions } from "../src/index.ts";
import { turn, watch } from "./work.ts";

let server: RedisServer;
const clients: Redis[] = [];
const shared: SharedBreaker[] = [];

beforeAll(async () => {
  server = await RedisServer.start();
});

afterAll(async () => {
  await server.stop();
});

beforeEach(async () => {
  await server.call("FLUSHALL");
});

afterEach(async () => {
  await Promise.all(shared.splice(0).map((one) => one.close()));
  for (const client of clients.splice(0)) client.disconnect();
});

async function pod(options: BreakerOptions = {}, url: string = server.url): Promise<Bulkhead> {
  const redis = new Redis(url, { maxRetriesPerRequest: null });
  redis.on("error", () => undefined);
  clients.push(redis);
  const breaker = new SharedBreaker(redis, "payments", { pollMs: 100, commandTimeoutMs: 300 });
  shared.push(breaker);
  const one = new Bulkhead("payments", {
    timeoutMs: 1_000,
    breaker: { callsMin: 4, openMs: 400, ...options, shared: breaker },
  });
  await breaker.ready();
  return one;
}

async function fail(one: Bulkhead, calls = 4): Promise<void> {
  for (let call = 0; call < calls; call += 1)
    await one.run(() => Promise.reject(new Error("down"))).catch(() => undefined);
}

const stateIs = (one: Bulkhead, state: string): Promise<unknown> =>
  pollUntil(`the breaker is ${state}`, async () => one.snapshot().state === state, { timeoutMs: 5_000, intervalMs: 2 });

describe("a shared breaker", () => {
  it("B4 opens everywhere when it opens in one process", async () => {
    const [first, second] = [await pod({ openMs: 5_000 }), await pod({ openMs: 5_000 })];
    await fail(first);
    await stateIs(second, "open");
    await expect(second.run(() => 1)).rejects.toMatchObject({ reason: "rejected-open" });
  });

  it("a process that starts learns that the dependency is down", async () => {
    const first = await pod({ openMs: 5_000 });
    await fail(first);
    await stateIs(first, "open");
    await pollUntil(
      "Redis knows",
      async () => (await server.call("HGET", "holdfast:{breaker:payments}:state", "state")) === "open",
    );
    const late = await pod();
    expect(late.snapshot().state).toBe("open");
  });

  it("counter-test: without sharing a process that starts sends its calls to a dependency that is down", async () => {
    const first = new Bulkhead("payments", { breaker: { callsMin: 4 } });
    await fail(first);
    const late = new Bulkhead("payments", { breaker: { callsMin: 4 } });
    await expect(late.run(() => "sent")).resolves.toBe("sent");
  });

  it("B4 one process of many probes; its success closes the breaker for all", async () => {
    const all = await Promise.all(Array.from({ length: 8 }, () => pod()));
    await fail(all[0] as Bulkhead);
    for (const one of all) await stateIs(one, "open");
    const probes: number[] = [];
    let finish: (() => void) | undefined;
    const gate = new Promise<void>((resolve) => (finish = resolve));
    const stop = new AbortController();
    // Every process has traffic all the time.
    const traffic = all.map(async (one, index) => {
      while (!stop.signal.aborted) {
        await one
          .run(async () => {
            probes.push(index);
            await gate;
          })
          .catch(() => undefined);
        await new Promise((resolve) => setTimeout(resolve, 3));
      }
    });
    await pollUntil("somebody probes", async () => probes.length > 0, { timeoutMs: 5_000, intervalMs: 2 });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(probes).toHaveLength(1);
    finish?.();
    for (const one of all) await stateIs(one, "closed");
    stop.abort();
    await Promise.all(traffic);
  });

  it("B4 a failed probe keeps all of them open", async () => {
    const [first, second] = [await pod(), await pod()];
    await fail(first);
    await stateIs(second, "open");
    await pollUntil(
      "a probe was sent",
      async () =>
        (await first.run(() => Promise.reject(new Error("still down"))).catch((error: Error) => error.message)) ===
        "still down",
      {
        timeoutMs: 5_000,
        intervalMs: 5,
      },
    );
    expect(first.snapshot().state).toBe("open");
    await turn();
    await expect(second.run(() => 1)).rejects.toMatchObject({ reason: "rejected-open" });
  });

  it("the right to probe of a process that died passes to another", async () => {
    const [first, second] = [await pod(), await pod()];
    await fail(first);
    await stateIs(second, "open");
    const hung = watch(first.run(() => new Promise(() => undefined)));
    await pollUntil("the first process probes", async () => {
      if (first.snapshot().inFlight === 0) void watch(first.run(() => new Promise(() => undefined)));
      return first.snapshot().inFlight === 1;
    });
    clients[0]?.disconnect();
    const asked = performance.now();
    await pollUntil("the second process probes", async () => second.run(() => true).catch(() => false), {
      timeoutMs: 8_000,
      intervalMs: 5,
    });
    expect(performance.now() - asked).toBeLessThan(5_000);
    expect(hung.done).toBe(true);
    await stateIs(second, "closed");
  });

  it("without Redis every process has a breaker of its own", async () => {
    await using proxy = await FaultProxy.start(server.address);
    const one = await pod({ openMs: 100 }, `redis://127.0.0.1:${proxy.port}`);
    proxy.blackhole();
    await fail(one);
    expect(one.snapshot().state).toBe("open");
    await pollUntil("it probes by itself and closes", async () => one.run(() => true).catch(() => false), {
      timeoutMs: 5_000,
      intervalMs: 5,
    });
    expect(one.snapshot().state).toBe("closed");
    await proxy.heal();
  });

  it("serves one bulkhead", async () => {
    const redis = new Redis(server.url);
    clients.push(redis);
    const breaker = new SharedBreaker(redis, "payments");
    shared.push(breaker);
    const options = { breaker: { shared: breaker } };
    expect(() => new Bulkhead("a", options)).not.toThrow();
    expect(() => new Bulkhead("b", options)).toThrow(TypeError);
  });
});
