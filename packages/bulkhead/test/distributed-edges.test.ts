/** A distributed bulkhead at its edges: closed while it asks, closed with work that goes on, answered late, back with more than it told. */
import { FaultProxy, LeapClock, pollUntil } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { DistributedBulkhead } from "../src/index.ts";
import type { DistributedBulkheadOptions } from "../src/index.ts";
import { testPlace } from "./place.ts";
import { openCalls, settled, watch } from "./work.ts";

const place = testPlace();
const leaseMs = 60_000;
const podsKey = "holdfast:{bulkhead:payments}:pods";

function pod(options: Partial<DistributedBulkheadOptions> = {}, url: string = place.server.url): DistributedBulkhead {
  const redis = place.client(url);
  const settings = {
    concurrencyMax: 4,
    timeoutMs: 120_000,
    // Longer than a machine stands still: what ends a lease here is a test.
    leaseMs,
    commandTimeoutMs: 60_000,
    pollMs: 50,
    ...options,
  };
  const one = new DistributedBulkhead(redis, "payments", settings);
  return place.closing(one);
}

const records = async (): Promise<readonly string[]> =>
  ((await place.server.call("HKEYS", podsKey)) as string[]).filter((field) => field !== "#token");

describe("closing", () => {
  it("B7 closed while it asks for its first permits, it gives them back and does not keep them for a lease", async () => {
    await using proxy = await FaultProxy.start(place.server);
    // The script is known to the server.
    const first = pod();
    await first.run(() => 1);
    await first.close();
    const one = pod({}, proxy.url);
    const held = proxy.hold("reply", "evalsha");
    const call = watch(one.run(() => "no"));
    await held.hit;
    expect(await records()).toHaveLength(1);
    const closing = one.close();
    held.release();
    await closing;
    expect(call.done).toBe(true);
    expect(await records()).toEqual([]);
  });

  it("B7 closed with work that does not listen, it gives back the other permits; those in use stay until the lease ends", async () => {
    const one = pod();
    const deaf = openCalls(one, 3);
    await settled(() => deaf.running() === 3, "three run");
    const other = pod();
    const waiting = openCalls(other, 4);
    await one.close();
    expect(one.snapshot().zombies).toBe(3);
    await settled(() => waiting.running() === 1, "one permit was not in use");
    const before = await place.requests();
    await pollUntil("it has asked some more times", async () => (await place.requests()) > before + 6);
    expect(waiting.running()).toBe(1);
    await place.endLease((held) => held === 3);
    await settled(() => waiting.running() === 4, "the others have all permits once the lease is over");
    for (const work of [...deaf.works, ...waiting.works]) work.resolve("");
  });
});

describe("a process that Redis has refused", () => {
  it("B7 takes no local share while there are too many processes, and comes in when one leaves", async () => {
    const settings = { concurrencyMax: 1, podsMax: 1, whenUnreachable: "local-share" } as const;
    const inside = pod(settings);
    const first = openCalls(inside, 1);
    await settled(() => first.running() === 1, "the first process is in");
    const others = [pod(settings), pod(settings)];
    for (const other of others) {
      const error: unknown = await other.run(() => "one more").catch((caught: unknown) => caught);
      expect(error).toMatchObject({ reason: "rejected-full", effect: "none", cause: { name: "TooManyPodsError" } });
      expect(other.snapshot().limit).toBe(0);
    }
    first.works[0]?.resolve("");
    await inside.close();
    const inTurn = (): Promise<string | undefined>[] =>
      others.map((other) => other.run(() => "in").catch(() => undefined));
    await pollUntil("one of the others is in", async () => (await Promise.all(inTurn())).includes("in"));
  });

  it("B7 takes no local share when a newer version has taken the permits over", async () => {
    const one = pod({ whenUnreachable: "local-share" });
    await place.server.call("HSET", podsKey, "newer", "2 what comes next");
    await expect(one.run(() => "no")).rejects.toMatchObject({ cause: { name: "NewerFormatError" } });
  });

  it("B7 takes no local share when its lease ends after a refusal", async () => {
    const clock = new LeapClock();
    const one = pod({ whenUnreachable: "local-share", clock });
    await one.run(() => 1);
    await place.server.call("HSET", podsKey, "newer", "2 what comes next");
    const before = await place.requests();
    clock.leap(leaseMs / 2);
    await pollUntil("it has asked and was refused", async () => (await place.requests()) > before);
    clock.leap(leaseMs);
    await settled(() => one.snapshot().held === 0, "the lease is over");
    await expect(one.run(() => "no")).rejects.toMatchObject({ cause: { name: "NewerFormatError" } });
    expect(one.snapshot().limit).toBe(0);
  });
});

describe("giving back", () => {
  it("B7 what goes to others is not used any more from the moment that it is said", async () => {
    await using proxy = await FaultProxy.start(place.server);
    const rich = pod({}, proxy.url);
    const before = openCalls(rich, 4);
    await settled(() => before.running() === 4, "it has all permits");
    const [id] = await records();
    const known = async (): Promise<number> =>
      Number(String(await place.server.call("HGET", podsKey, id as string)).split(" ")[5]);
    let held = proxy.hold("reply", "evalsha");
    for (const work of before.works) work.resolve("");
    const other = openCalls(pod(), 4);
    await held.hit;
    // It may have asked for something else before.
    while ((await known()) > 0) {
      const next = proxy.hold("reply", "evalsha");
      held.release();
      held = next;
      await held.hit;
    }
    await settled(() => other.running() === 4, "the other has them");
    const late = openCalls(rich, 4);
    const used = [rich.snapshot().limit, late.running()];
    held.release();
    for (const work of [...late.works, ...other.works]) work.resolve("");
    await settled(() => [...late.runs, ...other.runs].every(({ done }) => done), "all done");
    // It leaves through the proxy.
    await rich.close();
    expect(used).toEqual([0, 0]);
  });
});

describe("late answers", () => {
  it("B7 an answer that comes late renews nothing from the time of a later question", async () => {
    const clock = new LeapClock();
    await using proxy = await FaultProxy.start(place.server);
    const one = pod({ clock, commandTimeoutMs: 600_000, pollMs: 60_000 }, proxy.url);
    await one.run(() => 1);
    const held = proxy.hold("reply", "evalsha");
    const askedAtMs = clock.monotonicMs();
    const calls = openCalls(one, 2);
    await held.hit;
    // Meanwhile the background wants to renew, a third of the lease after the first answer.
    clock.leap(0.5 * leaseMs);
    await new Promise<void>((resolve) => clock.setTimer(resolve, 5));
    // Nothing is answered any more but what is held, which Redis has counted from the question on.
    const nothing = proxy.hold("request", "evalsha", { times: Infinity });
    held.release();
    await settled(() => calls.running() === 2, "both run");
    clock.leap(askedAtMs + leaseMs + 50 - clock.monotonicMs());
    const late = openCalls(one, 1);
    expect(one.snapshot()).toMatchObject({ held: 0, limit: 0 });
    nothing.release();
    await settled(() => late.running() === 1, "with a new lease");
    for (const work of [...calls.works, ...late.works]) work.resolve("");
    // It leaves through the proxy.
    await one.close();
  });
});

describe("back from its local share", () => {
  // What waits for the next poll waits for longer than this.
  it("B7 tells at once of the calls that it has begun while it was asking", { timeout: 45_000 }, async () => {
    await using proxy = await FaultProxy.start(place.server);
    const clock = new LeapClock();
    const options = { whenUnreachable: "local-share", pollMs: 60_000 } as const;
    const one = pod({ ...options, clock, commandTimeoutMs: 500 }, proxy.url);
    await pollUntil("it has permits", async () => one.run(() => one.snapshot().held > 0));
    proxy.blackhole();
    clock.leap(leaseMs);
    await settled(() => one.snapshot().held === 0 && one.snapshot().limit === 4, "it goes on alone");
    await proxy.heal({ held: "drop" });
    const held = proxy.hold("reply", "evalsha");
    await held.hit;
    const calls = openCalls(one, 4);
    expect(calls.running()).toBe(4);
    const other = openCalls(pod(options), 1);
    held.release();
    await settled(() => one.snapshot().held === 4, "it has told of all four");
    for (const work of [...calls.works, ...other.works]) work.resolve("");
    await settled(() => other.running() === 1, "and gives them back");
  });
});
