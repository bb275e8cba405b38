import { FaultProxy, LeapClock, SeededRandom, pollUntil } from "@holdfast/testkit";
import type { Redis } from "ioredis";
import { describe, expect, it } from "vitest";
import { BulkheadRejectedError, DistributedBulkhead } from "../src/index.ts";
import type { DistributedBulkheadOptions } from "../src/index.ts";
import { testPlace } from "./place.ts";
import { hang, openCalls, settled, turn, watch } from "./work.ts";

const place = testPlace();
const leaseMs = 60_000;

function pod(options: Partial<DistributedBulkheadOptions> = {}, redis: Redis = place.client()): DistributedBulkhead {
  const one = new DistributedBulkhead(redis, "payments", {
    concurrencyMax: 4,
    timeoutMs: 120_000,
    // Longer than a machine stands still: what ends a lease here is a test.
    leaseMs,
    commandTimeoutMs: 60_000,
    pollMs: 50,
    ...options,
  });
  return place.closing(one);
}

/** Waits until a call gets through; on a machine that stands still Redis may seem to be away for a moment. */
function passes(one: DistributedBulkhead): Promise<unknown> {
  return pollUntil("calls pass", async () => one.run(() => true).catch(() => false), {
    timeoutMs: 60_000,
    intervalMs: 20,
  });
}

describe("B7 one limit over all processes", () => {
  it("B7 no more calls run than the limit, whichever process they come from", async () => {
    const three = [pod(), pod(), pod()];
    let running = 0;
    let most = 0;
    const works: Promise<unknown>[] = [];
    for (let call = 0; call < 120; call += 1) {
      works.push(
        (three[call % 3] as DistributedBulkhead).run(async () => {
          running += 1;
          most = Math.max(most, running);
          await new Promise((resolve) => setTimeout(resolve, 5));
          running -= 1;
        }),
      );
    }
    await Promise.all(works);
    expect(most).toBeLessThanOrEqual(4);
    expect(most).toBe(4);
  });

  it("B7 counter-test: local bulkheads of the same limit run three times as many", async () => {
    const three = [pod({ prefix: "a" }), pod({ prefix: "b" }), pod({ prefix: "c" })];
    const open = three.map((one) => openCalls(one, 4));
    await settled(() => open.reduce((sum, { running }) => sum + running(), 0) === 12, "all run");
    for (const { works } of open) for (const work of works) work.resolve("");
  });

  it("B7 the permits of a process that died are free when its lease is over, and not before", async () => {
    const dead = place.client();
    await dead.client("SETNAME", "dead");
    const first = new DistributedBulkhead(dead, "payments", {
      concurrencyMax: 2,
      timeoutMs: 20_000,
      leaseMs: 500,
      commandTimeoutMs: 60_000,
      pollMs: 50,
    });
    const held = openCalls(first, 2);
    await settled(() => held.running() === 2, "the first process runs two");
    // The process stops: nothing is renewed, nothing is given back.
    dead.disconnect();
    await pollUntil(
      "the server has noticed",
      async () => !String(await place.server.call("CLIENT", "LIST")).includes(" name=dead "),
    );
    const record = ((await place.server.call("HVALS", "holdfast:{bulkhead:payments}:pods")) as string[]).find((value) =>
      value.includes(" "),
    );
    const other = pod({ concurrencyMax: 2 });
    const waiting = openCalls(other, 2);
    await settled(() => waiting.running() === 2, "the second process runs two");
    const [seconds, micros] = (await place.server.call("TIME")) as [string, string];
    expect(Number(seconds) * 1e6 + Number(micros)).toBeGreaterThanOrEqual(Number(record?.split(" ")[1]));
    for (const work of [...held.works, ...waiting.works]) work.resolve("");
    await first.close();
  });

  it("B7 after a pause the excess is at most what the paused process held, and no call is added to it", async () => {
    await using proxy = await FaultProxy.start(place.server.address);
    const clock = new LeapClock();
    const paused = pod({ clock, whenUnreachable: "reject" }, place.client(`redis://127.0.0.1:${proxy.port}`));
    const inside = openCalls(paused, 3);
    await settled(() => inside.running() === 3, "three run in the process that is about to be cut off");
    proxy.blackhole();
    clock.leap(leaseMs);
    await place.endLease((held) => held === 3);
    const other = pod();
    const more = openCalls(other, 4);
    await settled(() => more.running() === 4, "the others have all permits once the lease is over");
    expect(inside.running() + more.running()).toBe(7);
    const late = watch(paused.run(() => "no"));
    await turn();
    expect(late.value).toBeUndefined();
    await proxy.heal();
    // Back again, its three calls count: nobody gets a permit before the excess is gone.
    await settled(() => paused.snapshot().held === 3, "the cut-off process has told what it uses");
    // Until then it may begin what was granted to it (B7 holds by the steps of the server).
    await settled(() => other.snapshot().limit === 2, "the other has heard of it");
    const next = openCalls(other, 1);
    more.works[0]?.resolve("");
    more.works[1]?.resolve("");
    await settled(() => more.runs[1]?.done === true, "two of the seven have ended");
    const before = await place.requests();
    await pollUntil("it has asked some more times", async () => (await place.requests()) > before + 6);
    expect(next.running()).toBe(0);
    for (const work of [...inside.works, ...more.works, ...next.works]) work.resolve("");
    // It leaves through the proxy.
    await paused.close();
  });
});

describe("fairness", () => {
  it("a process that has all permits gives the share of a newcomer back as its calls end", async () => {
    const greedy = pod();
    const many = openCalls(greedy, 40);
    await settled(() => many.running() === 4, "the first process has all");
    const newcomer = pod();
    const few = openCalls(newcomer, 10);
    await settled(() => greedy.snapshot().limit === 2, "the first process knows its share");
    expect(few.running()).toBe(0);
    for (const work of many.works.slice(0, 4)) work.resolve("");
    await settled(() => few.running() === 2 && many.running() === 6, "half each");
    expect([greedy.snapshot().held, newcomer.snapshot().held]).toEqual([2, 2]);
    for (const work of [...many.works, ...few.works]) work.resolve("");
    await settled(() => many.runs.every(({ done }) => done) && few.runs.every(({ done }) => done), "all done");
  });

  it("idle permits are given to whoever needs them", async () => {
    const idle = pod();
    await Promise.all([1, 2, 3, 4].map(() => idle.run(() => turn())));
    const busy = pod();
    const calls = openCalls(busy, 4);
    await settled(() => calls.running() === 4, "all four run in the second process");
    for (const work of calls.works) work.resolve("");
  });

  it("with fewer permits than processes everybody has his turn", async () => {
    const five = Array.from({ length: 5 }, (_, seed) =>
      pod({ concurrencyMax: 1, random: new SeededRandom(`pod ${seed}`) }),
    );
    const done = five.map(() => 0);
    const stop = new AbortController();
    const loops = five.map(async (one, index) => {
      while (!stop.signal.aborted) {
        await one.run(() => new Promise((resolve) => setTimeout(resolve, 5)));
        done[index] = (done[index] as number) + 1;
      }
    });
    await settled(() => done.every((calls) => calls >= 1), "every process had calls");
    stop.abort();
    await Promise.all(loops);
  });

  it("a burst of calls is one request, not one each", async () => {
    const one = pod({ concurrencyMax: 100, pollMs: 60_000 });
    await one.run(() => 1);
    const before = await place.requests();
    await Promise.all(Array.from({ length: 1_000 }, () => one.run(() => turn()).catch(() => undefined)));
    expect((await place.requests()) - before).toBeLessThanOrEqual(20);
  });
});

describe("a process that was idle", () => {
  it("B5 refuses no call for its deadline that could start as soon as Redis has answered", async () => {
    const clock = new LeapClock();
    const one = pod({ concurrencyMax: 64, clock, timeoutMs: 30_000, leaseMs: 600_000, commandTimeoutMs: 600_000 });
    // The dependency takes 20 s.
    for (let call = 0; call < 5; call += 1) {
      await one.run(async () => clock.leap(20_000));
    }
    await pollUntil(
      "it has given everything back",
      async () => {
        if (one.snapshot().held === 0) return true;
        clock.leap(200_001);
        return false;
      },
      { intervalMs: 100 },
    );
    const burst = openCalls(one, 20);
    await settled(() => burst.running() === 20 || burst.runs.some(({ done }) => done), "all run, or are refused");
    expect(burst.runs.map(({ error }) => error).filter((error) => error !== undefined)).toEqual([]);
    for (const work of burst.works) work.resolve("");
    await settled(() => burst.runs.every(({ done }) => done), "all done");
  });

  it("B5 counter-test: what its share does not hold is still refused at once", async () => {
    const clock = new LeapClock();
    const one = pod({ concurrencyMax: 2, clock, timeoutMs: 30_000, leaseMs: 600_000, commandTimeoutMs: 600_000 });
    for (let call = 0; call < 5; call += 1) {
      await one.run(async () => clock.leap(20_000));
    }
    const burst = openCalls(one, 3);
    await settled(() => burst.running() === 2, "two run");
    expect(burst.runs.map(({ error }) => (error as BulkheadRejectedError | undefined)?.reason)).toEqual([
      undefined,
      undefined,
      "rejected-deadline",
    ]);
    for (const work of burst.works) work.resolve("");
  });
});

describe("tokens", () => {
  it("every lease on permits has a higher token than those before", async () => {
    const tokens: number[] = [];
    for (let run = 0; run < 3; run += 1) {
      const one = pod();
      await one.run(({ token, resource }) => {
        expect(resource).toBe("bulkhead:payments");
        tokens.push(token);
      });
      await one.close();
    }
    expect(tokens).toEqual(tokens.toSorted((a, b) => a - b));
    expect(new Set(tokens).size).toBe(3);
  });
});

describe("without Redis", () => {
  it("while the lease lasts calls go on; then a process that rejects says why", async () => {
    await using proxy = await FaultProxy.start(place.server.address);
    const clock = new LeapClock();
    const one = pod({ clock, commandTimeoutMs: 500 }, place.client(`redis://127.0.0.1:${proxy.port}`));
    await passes(one);
    const open = openCalls(one, 2);
    await settled(() => open.running() === 2, "two run");
    proxy.blackhole();
    open.works[0]?.resolve("");
    await expect(one.run(() => "on a permit it holds")).resolves.toBe("on a permit it holds");
    clock.leap(leaseMs);
    await settled(() => one.snapshot().held === 0, "the lease is over");
    const error = await one.run(hang).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(BulkheadRejectedError);
    expect(error).toMatchObject({
      reason: "rejected-full",
      effect: "none",
      cause: { effect: expect.any(String) as string },
    });
    await proxy.heal();
    await passes(one);
    open.works[1]?.resolve("");
  });

  it("while the lease lasts it keeps what it holds, however often it asks in vain", async () => {
    await using proxy = await FaultProxy.start(place.server.address);
    const clock = new LeapClock();
    const one = pod({ clock, concurrencyMax: 8, commandTimeoutMs: 300 }, place.client(proxy.url));
    await passes(one);
    const open = openCalls(one, 8);
    await settled(() => open.running() === 8, "all run");
    proxy.blackhole();
    for (const work of open.works) work.resolve("");
    await settled(() => open.runs.every(({ done }) => done), "none is in use");
    clock.leap(leaseMs / 3 + 1);
    const endMs = performance.now() + 3_000;
    while (performance.now() < endMs) {
      await expect(one.run({ timeoutMs: 5_000 }, () => "on a permit it holds")).resolves.toBe("on a permit it holds");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(one.snapshot()).toMatchObject({ held: 8, limit: 8 });
    await proxy.heal({ held: "drop" });
    await pollUntil("it gives back what it has no use for", async () => one.snapshot().held < 8);
  });

  it("a process with a local share goes on with its part of the limit", async () => {
    await using proxy = await FaultProxy.start(place.server.address);
    const clock = new LeapClock();
    const neighbour = pod({ whenUnreachable: "local-share" });
    await neighbour.run(() => 1);
    const options = { whenUnreachable: "local-share", clock, commandTimeoutMs: 1_000 } as const;
    const one = pod(options, place.client(`redis://127.0.0.1:${proxy.port}`));
    await pollUntil("it knows of both processes", async () => one.run(() => one.snapshot().pods === 2));
    proxy.blackhole();
    clock.leap(leaseMs);
    await settled(
      () => one.snapshot().held === 0 && one.snapshot().limit === 2,
      "half of four permits, since there were two processes",
    );
    const open = openCalls(one, 5);
    await turn();
    expect(open.running()).toBe(2);
    for (const work of open.works) work.resolve("");
    await proxy.heal();
    await settled(() => one.snapshot().held > 0 || one.snapshot().queued === 0, "it is back");
  });

  it("a process that never reached Redis uses one permit, or rejects", async () => {
    const nowhere = place.client("redis://127.0.0.1:1");
    const alone = pod({ whenUnreachable: "local-share", commandTimeoutMs: 100 }, nowhere);
    const open = openCalls(alone, 3);
    await settled(() => open.running() === 1, "one runs");
    for (const work of open.works) work.resolve("");
    const rejecting = pod({ commandTimeoutMs: 100 }, nowhere);
    await expect(rejecting.run(hang)).rejects.toMatchObject({ reason: "rejected-full" });
  });
});

it.each([
  [{}, TypeError],
  [{ concurrencyMax: 0 }, RangeError],
  [{ concurrencyMax: 2.5 }, RangeError],
  [{ concurrencyMax: Number.NaN }, RangeError],
  [{ concurrencyMax: Infinity }, RangeError],
  [{ concurrencyMax: 1, leaseMs: Number.NaN }, RangeError],
  [{ concurrencyMax: 1, pollMs: 10.5 }, RangeError],
  [{ concurrencyMax: 1, podsMax: 0 }, RangeError],
  [{ concurrencyMax: 1, leaseMs: 49 }, RangeError],
  [{ concurrencyMax: 1, whenUnreachable: "hope" }, TypeError],
  [{ concurrencyMax: 1, prefix: "a{b" }, RangeError],
  // B7 its limit would take the place of the share.
  [{ concurrencyMax: 1, adaptive: { concurrencyMax: 64 } }, TypeError],
  [{ concurrencyMax: 1, durability: { replicas: 1, timeoutMs: 100 } }, TypeError],
])("%j is refused by the constructor", (options, kind) => {
  const redis = place.client();
  expect(() => new DistributedBulkhead(redis, "x", options as never)).toThrow(kind);
});
