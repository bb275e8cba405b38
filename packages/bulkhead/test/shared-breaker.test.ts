import { FaultProxy, pollUntil } from "@holdfast/testkit";
import { Connection } from "@holdfast/core";
import { describe, expect, it } from "vitest";
import { Bulkhead, SharedBreaker } from "../src/index.ts";
import type { BreakerOptions } from "../src/index.ts";
import { breakerKey } from "../src/keys.ts";
import { testPlace } from "./place.ts";
import { turn, watch } from "./work.ts";

const place = testPlace();

async function pod(options: BreakerOptions = {}, url: string = place.server.url): Promise<Bulkhead> {
  const redis = place.client(url);
  const breaker = new SharedBreaker(redis, "payments", { pollMs: 100, commandTimeoutMs: 300 });
  place.closing(breaker);
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

  it("B4 a hint that comes while an older answer is under way is not lost: the process looks once more", async () => {
    await using proxy = await FaultProxy.start(place.server);
    const redis = place.client(proxy.url);
    const breaker = new SharedBreaker(redis, "payments", { pollMs: 600_000, commandTimeoutMs: 20_000 });
    place.closing(breaker);
    const second = new Bulkhead("payments", { breaker: { openMs: 60_000, shared: breaker } });
    const heard = new Set<string | null>();
    const listening = Connection.of(redis).wakeUps.listen(breakerKey("holdfast", "payments").key, (hint) =>
      heard.add(hint),
    );
    await pollUntil("the subscription stands", async () => heard.has(null));
    await breaker.ready();
    const held = proxy.hold("reply", "evalsha");
    const looking = breaker.look();
    await held.hit;
    await fail(await pod({ openMs: 60_000 }));
    await pollUntil("the hint has come", async () => heard.size > 1);
    held.release();
    await looking;
    await stateIs(second, "open");
    listening.close();
  });

  it("a process that starts learns that the dependency is down", async () => {
    const first = await pod({ openMs: 5_000 });
    await fail(first);
    await stateIs(first, "open");
    await pollUntil(
      "Redis knows",
      async () => (await place.server.call("HGET", "holdfast:{breaker:payments}:state", "state")) === "open",
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
    place.clients[0]?.disconnect();
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
    await using proxy = await FaultProxy.start(place.server.address);
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
    const breaker = place.closing(new SharedBreaker(place.client(), "payments"));
    const options = { breaker: { shared: breaker } };
    expect(() => new Bulkhead("a", options)).not.toThrow();
    expect(() => new Bulkhead("b", options)).toThrow(TypeError);
  });
});
