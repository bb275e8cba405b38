import { Connection } from "@holdfast/core";
import { FaultProxy, LeapClock, pollUntil } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { Bulkhead, SharedBreaker } from "../src/index.ts";
import type { BulkheadOptions, SharedBreakerOptions } from "../src/index.ts";
import { breakerKey } from "../src/keys.ts";
import { testPlace } from "./place.ts";
import { hang, settled, watch } from "./work.ts";

const place = testPlace();
const stateKey = breakerKey("holdfast", "payments").key;

interface PodOptions extends Pick<SharedBreakerOptions, "commandTimeoutMs">, Pick<BulkheadOptions, "timeoutMs"> {
  readonly openMs?: number;
  readonly probes?: number;
  readonly url?: string;
}

/** Of a process whose machine may stand still: it takes no request for lost, nor a probe for hung, for that. */
async function pod(options: PodOptions = {}): Promise<Bulkhead> {
  const { openMs = 400, timeoutMs = 60_000, commandTimeoutMs = 60_000, probes, url = place.server.url } = options;
  const breaker = new SharedBreaker(place.client(url), "payments", { pollMs: 100, commandTimeoutMs });
  place.closing(breaker);
  const one = new Bulkhead("payments", { timeoutMs, breaker: { callsMin: 4, openMs, probes, shared: breaker } });
  await breaker.ready();
  return one;
}

async function fail(one: Bulkhead, calls = 4): Promise<void> {
  for (let call = 0; call < calls; call += 1)
    await one.run(() => Promise.reject(new Error("down"))).catch(() => undefined);
}

const stateIs = (one: Bulkhead, state: string): Promise<unknown> =>
  settled(() => one.snapshot().state === state, `the breaker is ${state}`);
/** An open one may be half-open before anybody looks. */
const isNotClosed = (one: Bulkhead): Promise<unknown> =>
  settled(() => one.snapshot().state !== "closed", "the breaker has opened");

describe("a shared breaker", () => {
  it("B4 opens everywhere when it opens in one process", async () => {
    const [first, second] = [await pod({ openMs: 60_000 }), await pod({ openMs: 60_000 })];
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
    const listening = Connection.of(redis).wakeUps.listen(stateKey, (hint) => heard.add(hint));
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
    const first = await pod({ openMs: 60_000 });
    await fail(first);
    await stateIs(first, "open");
    await pollUntil("Redis knows", async () => (await place.server.call("HGET", stateKey, "state")) === "open");
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
    for (const one of all) await isNotClosed(one);
    const probes: number[] = [];
    let finish: (() => void) | undefined;
    const gate = new Promise<void>((resolve) => (finish = resolve));
    const stop = new AbortController();
    const calls = all.map(() => 0);
    // Every process has traffic all the time.
    const traffic = all.map(async (one, index) => {
      while (!stop.signal.aborted) {
        await one
          .run(async () => {
            probes.push(index);
            await gate;
          })
          .catch(() => undefined);
        calls[index] = (calls[index] ?? 0) + 1;
        await new Promise((resolve) => setTimeout(resolve, 3));
      }
    });
    await settled(() => probes.length > 0, "somebody probes");
    const before = [...calls];
    const others = all.map((_, index) => index).filter((index) => index !== probes[0]);
    await settled(
      () => others.every((index) => (calls[index] ?? 0) > (before[index] ?? 0) + 40),
      "all others have tried, and asked again whether they may probe",
    );
    expect(probes).toHaveLength(1);
    finish?.();
    for (const one of all) await stateIs(one, "closed");
    stop.abort();
    await Promise.all(traffic);
  });

  it("B4 a failed probe keeps all of them open", async () => {
    const [first, second] = [await pod(), await pod()];
    await fail(first);
    await isNotClosed(second);
    let failedAtMs = 0;
    const probe = (): Promise<never> => {
      failedAtMs = performance.now();
      return Promise.reject(new Error("still down"));
    };
    await pollUntil(
      "a probe was sent",
      async () => (await first.run(probe).catch((error: Error) => error.message)) === "still down",
    );
    // Open for as long again, unless the machine has stood still for longer than that.
    const { state } = first.snapshot();
    expect(state === "open" || (state === "half-open" && performance.now() - failedAtMs >= 400)).toBe(true);
    await expect(second.run(() => 1)).rejects.toMatchObject({ reason: "rejected-open" });
  });

  it("the right to probe of a process that died passes to another", async () => {
    const [first, second] = [await pod({ timeoutMs: 1_000 }), await pod({ timeoutMs: 1_000 })];
    await fail(first);
    await isNotClosed(second);
    const hung = watch(first.run(() => new Promise(() => undefined)));
    await pollUntil("the first process probes", async () => {
      if (first.snapshot().inFlight === 0) void watch(first.run(() => new Promise(() => undefined)));
      return first.snapshot().inFlight === 1;
    });
    place.clients[0]?.disconnect();
    const [seconds, micros] = (await place.server.call("TIME")) as [string, string];
    const rightEndsUs = Number(await place.server.call("HGET", stateKey, "probeEndUs"));
    // Its calls take no longer, and so it is no longer in the way.
    expect(rightEndsUs - (Number(seconds) * 1e6 + Number(micros))).toBeLessThanOrEqual(1_000_000);
    await pollUntil("the second process probes", async () => second.run(() => true).catch(() => false), {
      timeoutMs: 60_000,
    });
    await settled(() => hung.done, "the call that hung has ended");
    await stateIs(second, "closed");
  });

  it.each([1, 2])(
    "B4 closes also when its process calls so rarely that its right to probe has ended before the next call (probes: %i)",
    async (probes) => {
      const [first, second] = [await pod({ timeoutMs: 150, probes }), await pod()];
      await fail(first);
      await isNotClosed(second);
      for (let call = 0; call < 12 && first.snapshot().state !== "closed"; call += 1) {
        await new Promise((resolve) => setTimeout(resolve, 160));
        await first.run(() => "well").catch(() => undefined);
      }
      expect(first.snapshot()).toMatchObject({ state: "closed", outcomes: { success: probes } });
      await stateIs(second, "closed");
    },
  );

  it("B4 has no right to probe any more once its probe has failed, also when the answer about the right comes later", async () => {
    await using proxy = await FaultProxy.start(place.server);
    const clock = new LeapClock();
    const redis = place.client(proxy.url);
    const breaker = place.closing(new SharedBreaker(redis, "payments", { clock, commandTimeoutMs: 600_000 }));
    const first = new Bulkhead("payments", {
      timeoutMs: 60_000,
      clock,
      breaker: { callsMin: 4, openMs: 100, shared: breaker },
    });
    await breaker.ready();
    await fail(first);
    const field = (name: string): Promise<unknown> => place.server.call("HGET", stateKey, name);
    await pollUntil("Redis knows that it has been open long enough", async () => {
      const [seconds, micros] = (await place.server.call("TIME")) as [string, string];
      const untilUs = await field("untilUs");
      return untilUs !== null && Number(seconds) * 1e6 + Number(micros) > Number(untilUs);
    });
    await redis.ping();
    clock.leap(1_000);
    await expect(first.run(() => 1)).rejects.toMatchObject({ reason: "rejected-open" });
    await pollUntil("it has the right to probe", async () => (await field("probe")) !== null);
    await redis.ping();
    // There was no call to use it in time, so that the next one asks for it anew and goes.
    clock.leap(60_001);
    const before = await field("token");
    const held = proxy.hold("reply", "evalsha");
    await expect(first.run(() => Promise.reject(new Error("down")))).rejects.toThrow("down");
    await pollUntil("Redis knows that its probe has failed", async () => (await field("token")) !== before);
    held.release();
    await redis.ping();
    const second = await pod();
    await pollUntil("another process probes", async () => {
      void watch(second.run(hang));
      return second.snapshot().inFlight === 1;
    });
    await stateIs(first, "half-open");
    await expect(first.run(() => "beside the other's probe")).rejects.toMatchObject({ reason: "rejected-open" });
  });

  it("without Redis every process has a breaker of its own", async () => {
    await using proxy = await FaultProxy.start(place.server.address);
    const one = await pod({ openMs: 100, commandTimeoutMs: 300, url: `redis://127.0.0.1:${proxy.port}` });
    proxy.blackhole();
    await fail(one);
    expect(one.snapshot().state).not.toBe("closed");
    await pollUntil("it probes by itself and closes", async () => one.run(() => true).catch(() => false), {
      timeoutMs: 60_000,
    });
    expect(one.snapshot().state).toBe("closed");
    await proxy.heal();
  });

  it("B4 one that is closed opens for nobody else any more; the local breaker goes on alone", async () => {
    const breaker = new SharedBreaker(place.client(), "payments", { commandTimeoutMs: 60_000 });
    const one = new Bulkhead("payments", {
      timeoutMs: 60_000,
      breaker: { callsMin: 4, openMs: 60_000, shared: breaker },
    });
    await breaker.ready();
    await breaker.close();
    await fail(one);
    expect(one.snapshot().state).toBe("open");
    // On the same connection: what it has sent before would be done.
    await breaker.look();
    expect(await place.server.call("EXISTS", stateKey)).toBe(0);
  });

  it("refuses a durability that it could tell nobody about", () => {
    const options = { durability: { replicas: 1, timeoutMs: 100 } } as SharedBreakerOptions;
    expect(() => new SharedBreaker(place.client(), "payments", options)).toThrow(TypeError);
    expect(() => new SharedBreaker(place.client(), "payments", options)).toThrow("durability must be left out");
  });

  it("serves one bulkhead", async () => {
    const breaker = place.closing(new SharedBreaker(place.client(), "payments"));
    const options = { breaker: { shared: breaker } };
    expect(() => new Bulkhead("a", options)).not.toThrow();
    expect(() => new Bulkhead("b", options)).toThrow(TypeError);
  });
});
