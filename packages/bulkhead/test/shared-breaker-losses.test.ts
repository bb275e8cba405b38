/** What a shared breaker does when Redis was not told, has forgotten, or was asked too early: it must neither stay open nor forget. */
import { FaultProxy, LeapClock, pollUntil } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { Bulkhead, SharedBreaker } from "../src/index.ts";
import type { BreakerOptions } from "../src/index.ts";
import { testPlace } from "./place.ts";
import { handWork, settled, watch } from "./work.ts";

const place = testPlace();
/** What is not answered by then is not carried out later either (K1). */
const briefTimeoutMs = 1_500;
const stateKey = "holdfast:{breaker:payments}:state";

function sharing(url: string = place.server.url, commandTimeoutMs = 60_000): SharedBreaker {
  const redis = place.client(url);
  const breaker = new SharedBreaker(redis, "payments", { pollMs: 100, commandTimeoutMs });
  return place.closing(breaker);
}

async function pod(options: BreakerOptions = {}, breaker: SharedBreaker = sharing()): Promise<Bulkhead> {
  const one = new Bulkhead("payments", {
    timeoutMs: 60_000,
    breaker: { callsMin: 4, openMs: 100, ...options, shared: breaker },
  });
  await breaker.ready();
  return one;
}

async function fail(one: Bulkhead): Promise<void> {
  for (let call = 0; call < 4; call += 1) await one.run(() => Promise.reject(new Error("down"))).catch(() => undefined);
}

function passes(one: Bulkhead): Promise<unknown> {
  return pollUntil("a call passes", async () => one.run(() => true).catch(() => false), {
    timeoutMs: 60_000,
    intervalMs: 5,
  });
}

const recorded = (state: string): Promise<unknown> =>
  pollUntil(`Redis has it ${state}`, async () => (await place.server.call("HGET", stateKey, "state")) === state);

describe("a shared breaker whose Redis was not told or has forgotten", () => {
  it("B4 probes and closes although its opening never came to Redis", async () => {
    await using proxy = await FaultProxy.start(place.server.address);
    const one = await pod({ openMs: 3_000 }, sharing(proxy.url, briefTimeoutMs));
    proxy.blackhole();
    await fail(one);
    expect(one.snapshot().state).toBe("open");
    await new Promise((resolve) => setTimeout(resolve, briefTimeoutMs + 100));
    await proxy.heal({ held: "drop" });
    proxy.reset();
    await place.clients.at(-1)?.ping();
    expect(await place.server.call("EXISTS", stateKey)).toBe(0);
    await passes(one);
    expect(one.snapshot().state).toBe("closed");
    await recorded("closed");
  });

  it("B4 probes and closes, one process at a time, when Redis was flushed while it was open", async () => {
    const [first, second] = [await pod({ openMs: 1_000 }), await pod({ openMs: 1_000 })];
    await fail(first);
    await settled(() => second.snapshot().state !== "closed", "the second process has heard");
    await place.server.call("FLUSHALL");
    await settled(() => second.snapshot().state === "half-open", "it has been open long enough");
    await settled(() => first.snapshot().state === "half-open", "so has the first");
    const gate = handWork();
    let probes = 0;
    const probe = async (): Promise<boolean> => {
      probes += 1;
      await gate.promise;
      return true;
    };
    const calls: { readonly done: boolean }[] = [];
    await pollUntil("somebody probes", async () => {
      calls.push(watch(first.run(probe)), watch(second.run(probe)));
      return probes > 0;
    });
    for (let round = 0; round < 10; round += 1) {
      calls.push(watch(first.run(probe)), watch(second.run(probe)));
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(probes).toBe(1);
    gate.resolve("");
    for (const one of [first, second]) await passes(one);
    await settled(() => calls.every(({ done }) => done), "all calls have ended");
  });

  it("B4 a probe that succeeds closes for all, also when the answer that it may be sent is lost", async () => {
    await using proxy = await FaultProxy.start(place.server);
    const clock = new LeapClock();
    const redis = place.client(proxy.url);
    const options = { clock, commandTimeoutMs: 600_000, pollMs: 600_000 };
    const breaker = place.closing(new SharedBreaker(redis, "payments", options));
    const first = new Bulkhead("payments", { clock, breaker: { callsMin: 4, openMs: 100, shared: breaker } });
    await breaker.ready();
    const second = await pod();
    await fail(first);
    await settled(() => second.snapshot().state !== "closed", "the second process has heard");
    await pollUntil("Redis would give the right to probe", async () => {
      const [seconds, micros] = (await place.server.call("TIME")) as [string, string];
      return Number(seconds) * 1e6 + Number(micros) > Number(await place.server.call("HGET", stateKey, "untilUs"));
    });
    await redis.ping();
    clock.leap(1_000);
    const held = proxy.hold("reply", "evalsha");
    await expect(first.run(() => 1)).rejects.toMatchObject({ reason: "rejected-open" });
    await held.hit;
    clock.leap(600_001);
    await pollUntil("it waits for the answer no longer", async () => first.run(() => true).catch(() => false));
    held.release();
    expect(first.snapshot().state).toBe("closed");
    await settled(() => second.snapshot().state === "closed", "closed without a call of its own");
    expect(second.snapshot().outcomes.success).toBe(0);
  });

  it("B4 counter-test: what was closed by others is not probed but closed", async () => {
    const [first, second] = [await pod(), await pod()];
    await fail(first);
    await settled(() => second.snapshot().state !== "closed", "the second process has heard");
    await passes(first);
    await settled(() => second.snapshot().state === "closed", "closed without a call of its own");
    expect(second.snapshot().outcomes.success).toBe(0);
  });

  it("tells its bulkhead that the dependency is down also when it was ready before the bulkhead was made", async () => {
    await fail(await pod({ openMs: 60_000 }));
    await recorded("open");
    const breaker = sharing();
    await breaker.ready();
    const late = new Bulkhead("payments", { breaker: { openMs: 60_000, shared: breaker } });
    expect(late.snapshot().state).toBe("open");
    await expect(late.run(() => 1)).rejects.toMatchObject({ reason: "rejected-open" });
  });
});
