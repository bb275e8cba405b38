/** T3, T4, T5, T9: whose lease it is, which generation, and what was called off. */
import { setTimeout as delay } from "node:timers/promises";
import { FaultProxy, pollUntil, RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { OutcomeUnknownError } from "@holdfast/core";
import { FiringLostError, SupersededError } from "@holdfast/timer";
import type { Firing } from "@holdfast/timer";
import { cancel, claim, extend, schedule, settle } from "../src/scripts.generated.ts";
import { withAlteredLua } from "./altered-lua.ts";
import { Catcher, Desk, failure, freshName, Gate } from "./client.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

/** A worker whose handler runs until the test ends it, with the firing it runs. */
async function occupied(
  desk: Desk,
  name: string,
  leaseMs = 30_000,
): Promise<{
  firing: Firing<undefined>;
  gate: Gate;
  worker: {
    stop(options: { graceMs: number }): Promise<unknown>;
    idle(): Promise<void>;
    counts(): { stale: number; lost: number; fired: number };
  };
}> {
  const gate = new Gate();
  const started = Promise.withResolvers<Firing<undefined>>();
  const worker = desk.timer(server.url, name).worker({ leaseMs, pollMs: 20, concurrencyMax: 1 }, async (firing) => {
    started.resolve(firing);
    await gate.opened;
  });
  await worker.start();
  return { firing: await started.promise, gate, worker };
}

/** Takes the lease away, as if it had ended long ago and been reaped and claimed by another worker. */
async function overtake(desk: Desk, name: string): Promise<Catcher> {
  const redis = desk.redis(server.url);
  const due = `holdfast:{timer:${name}}:due`;
  const [id = ""] = (await redis.call("zrange", [due, 0, 0])) as string[];
  await redis.call("zadd", [due, "1000001", id]);
  const catcher = new Catcher();
  const other = desk.timer(server.url, name).worker({ pollMs: 20 }, async (firing) => {
    catcher.handle(firing as Firing<unknown>);
    await new Promise(() => undefined);
  });
  await other.start();
  await catcher.caught(1);
  return catcher;
}

describe("T3 one live lease", () => {
  it("T3 an acknowledgement with an old token is refused and leaves the successor's lease alone", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.schedule({ id: "a", afterMs: 0 });
    const { firing, gate, worker } = await occupied(desk, name);
    const [successor] = (await overtake(desk, name)).firings;
    expect(successor?.token).toBeGreaterThan(firing.token);
    gate.open();
    await worker.idle();
    expect(worker.counts()).toMatchObject({ stale: 1, fired: 1 });
    expect(await timer.get("a")).toMatchObject({ state: "firing" });
    await worker.stop({ graceMs: 0 });
  });

  it("T3 counter-test: without the comparison of leases the successor's timer is removed under it", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.schedule({ id: "a", afterMs: 0 });
    const { gate, worker } = await occupied(desk, name);
    await overtake(desk, name);
    await withAlteredLua(
      claim,
      "scores[index] ~= ARGV[at + 1] or noted[index] or followings[index]",
      "false",
      async () => {
        gate.open();
        await worker.idle();
      },
    );
    expect(await timer.get("a")).toBeNull();
    await worker.stop({ graceMs: 0 });
  });

  it("T3 a retry with an old token is refused", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.schedule({ id: "a", afterMs: 0 });
    const gate = new Gate();
    const started = new Gate();
    const worker = timer.worker({ concurrencyMax: 1 }, async () => {
      started.open();
      await gate.opened;
      throw new Error("too late");
    });
    await worker.start();
    await started.opened;
    await overtake(desk, name);
    gate.open();
    await worker.idle();
    expect(worker.counts()).toMatchObject({ stale: 1, retried: 0 });
    expect(await timer.get("a")).toMatchObject({ state: "firing" });
  });

  it("T3 an extension with an old token is refused and aborts the handler's signal", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.schedule({ id: "a", afterMs: 0 });
    const { firing, gate, worker } = await occupied(desk, name, 300);
    await overtake(desk, name);
    await pollUntil("its signal aborts", () => firing.signal.aborted);
    expect(firing.signal.reason).toBeInstanceOf(FiringLostError);
    expect((firing.signal.reason as FiringLostError).reason).toBe("lost");
    expect(worker.counts().lost).toBe(1);
    gate.open();
    await worker.idle();
    await worker.stop({ graceMs: 0 });
  });

  it("T3 an extension that lost its race with the lease's end is counted, and a repeated one is answered as before", async () => {
    await using desk = new Desk();
    await using proxy = await FaultProxy.start(server);
    const name = freshName();
    const timer = desk.timer(proxy.url, name);
    await timer.schedule({ id: "a", afterMs: 0 });
    const twice = proxy.repeat(new RegExp(extend.sha1, "u"), { keep: "last", times: Infinity });
    const gate = new Gate();
    const started = Promise.withResolvers<Firing<undefined>>();
    const worker = timer.worker({ leaseMs: 150 }, async (firing) => {
      started.resolve(firing);
      await gate.opened;
    });
    await worker.start();
    const firing = await started.promise;
    await pollUntil("three extensions were delivered twice", () => twice.hits >= 3);
    expect(firing.signal.aborted).toBe(false);
    gate.open();
    await worker.idle();
    expect(worker.counts()).toMatchObject({ fired: 1, stale: 0, lost: 0 });
    await worker.stop({ graceMs: 1_000 });
    expect(await timer.get("a")).toBeNull();
  });
});

describe("T4 generations", () => {
  it("T4 an acknowledgement never removes a timer that was rescheduled meanwhile", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    const first = await timer.schedule({ id: "a", afterMs: 0 });
    const { firing, gate, worker } = await occupied(desk, name);
    const next = await timer.schedule({ id: "a", afterMs: 60_000 });
    expect(next.kind).toBe("firing");
    expect(next.generation).toBeGreaterThan(first.generation);
    expect(firing.generation).toBe(first.generation);
    expect(firing.signal.aborted).toBe(false);
    expect(await timer.get("a")).toMatchObject({ state: "firing", next: { generation: next.generation } });
    gate.open();
    await worker.idle();
    expect(await timer.get("a")).toMatchObject({
      state: "pending",
      generation: next.generation,
      dueAtMs: next.dueAtMs,
    });
    await worker.stop({ graceMs: 1_000 });
  });

  it("T4 the next generation fires after the running one ends, not beside it", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.schedule({ id: "a", afterMs: 0 });
    let running = 0;
    let peak = 0;
    const generations: number[] = [];
    const worker = timer.worker({ pollMs: 20 }, async ({ generation }) => {
      running += 1;
      peak = Math.max(peak, running);
      generations.push(generation);
      if (generations.length < 4) await timer.schedule({ id: "a", afterMs: 0 });
      await delay(30);
      running -= 1;
    });
    await worker.start();
    await pollUntil("four generations fired", () => worker.counts().fired === 4);
    await worker.idle();
    expect(peak).toBe(1);
    expect(generations).toEqual(generations.toSorted((a, b) => a - b));
    expect(new Set(generations).size).toBe(4);
    await worker.stop({ graceMs: 1_000 });
  });

  it("T4 counter-test: an acknowledgement that does not look for a next generation loses it", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.schedule({ id: "a", afterMs: 0 });
    const { gate, worker } = await occupied(desk, name);
    await timer.schedule({ id: "a", afterMs: 60_000 });
    await withAlteredLua(claim, "or noted[index] or followings[index]", "", async () => {
      gate.open();
      await worker.idle();
    });
    expect(await timer.get("a")).toBeNull();
    await worker.stop({ graceMs: 0 });
  });

  it("T4 generations of one id strictly increase, also after it was cancelled, fired, and after the clock went back", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    const seen: number[] = [];
    for (let round = 0; round < 5; round += 1) {
      const { generation } = await timer.schedule({ id: "a", afterMs: 60_000 });
      const replaced = await timer.schedule({ id: "a", afterMs: 60_000, ifExists: "replace" });
      expect(replaced.kind).toBe("replaced");
      seen.push(generation, replaced.generation);
      await timer.cancel("a");
      // As after a clock that went back by an hour: what was given out lies ahead of the clock.
      if (round === 2) await desk.redis(server.url).hset(`holdfast:{timer:${name}}:state`, "floor", "2795312345678901");
    }
    for (let index = 1; index < seen.length; index += 1) expect(seen[index]).toBeGreaterThan(seen[index - 1] as number);
  });

  it("T4 a retry keeps the next generation behind the one that is tried again", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer<{ n: number }>(server.url, name);
    await timer.schedule({ id: "a", afterMs: 0, payload: { n: 1 } });
    const log: string[] = [];
    const worker = timer.worker(
      { backoff: { baseMs: 5, delayMaxMs: 5, jitter: 0 }, pollMs: 20 },
      async ({ payload, attempt }) => {
        log.push(`${payload.n}.${attempt}`);
        if (payload.n === 1 && attempt === 1) {
          await timer.schedule({ id: "a", afterMs: 0, payload: { n: 2 } });
          throw new Error("once more");
        }
      },
    );
    await worker.start();
    await pollUntil("both fired", () => worker.counts().fired === 2);
    expect(log).toEqual(["1.1", "1.2", "2.1"]);
    await worker.stop({ graceMs: 1_000 });
  });
});

describe("schedule of an id that exists", () => {
  it("T9 keep, replace and earliest decide, and say what stands", async () => {
    await using desk = new Desk();
    const timer = desk.timer<{ n: number }>(server.url, freshName());
    const first = await timer.schedule({ id: "a", afterMs: 50_000, payload: { n: 1 } });
    const kept = await timer.schedule({ id: "a", afterMs: 10, payload: { n: 2 } });
    expect(kept).toEqual({ kind: "kept", dueAtMs: first.dueAtMs, generation: first.generation });
    const later = await timer.schedule({ id: "a", afterMs: 60_000, payload: { n: 3 }, ifExists: "earliest" });
    expect(later).toEqual({ kind: "kept", dueAtMs: first.dueAtMs, generation: first.generation });
    const earlier = await timer.schedule({ id: "a", afterMs: 40_000, payload: { n: 4 }, ifExists: "earliest" });
    expect(earlier.kind).toBe("replaced");
    expect(await timer.get("a")).toMatchObject({ payload: { n: 4 }, dueAtMs: earlier.dueAtMs });
    const replaced = await timer.schedule({ id: "a", afterMs: 90_000, payload: { n: 5 }, ifExists: "replace" });
    expect(replaced.kind).toBe("replaced");
    expect(await timer.get("a")).toMatchObject({ payload: { n: 5 }, generation: replaced.generation });
  });

  it("T9 ids that repeat in one scheduleMany are carried out in order", async () => {
    await using desk = new Desk();
    const timer = desk.timer<{ n: number }>(server.url, freshName());
    const requests = Array.from({ length: 600 }, (_, n) => ({
      id: `id-${n % 7}`,
      afterMs: 60_000,
      payload: { n },
      ifExists: "replace" as const,
    }));
    const results = await timer.scheduleMany(requests);
    expect(results.map(({ kind }) => kind)).toEqual(requests.map((_, n) => (n < 7 ? "scheduled" : "replaced")));
    expect((await timer.get("id-0"))?.payload).toEqual({ n: 595 });
  });

  it("T9 single calls of one tick keep their order for one id", async () => {
    await using desk = new Desk();
    const timer = desk.timer<{ n: number }>(server.url, freshName());
    const results = await Promise.all(
      [1, 2, 3].map((n) => timer.schedule({ id: "a", afterMs: 60_000, payload: { n }, ifExists: "replace" })),
    );
    expect(results.map(({ kind }) => kind)).toEqual(["scheduled", "replaced", "replaced"]);
    expect((await timer.get("a"))?.payload).toEqual({ n: 3 });
  });
});

describe("T5 cancel", () => {
  it("T5 a cancelled timer does not fire, and cancel says what it found", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName());
    await timer.schedule({ id: "a", afterMs: 30 });
    await timer.schedule({ id: "b", afterMs: 60 });
    expect(await timer.cancel("a")).toEqual({ kind: "cancelled" });
    expect(await timer.cancel("a")).toEqual({ kind: "absent" });
    const catcher = new Catcher();
    const worker = timer.worker(catcher.handle);
    await worker.start();
    await catcher.caught(1);
    await worker.idle();
    expect(catcher.ids).toEqual(["b"]);
    await worker.stop({ graceMs: 1_000 });
  });

  it("T5 a schedule that was sent before a cancel and arrives after it does not revive the timer", async () => {
    await using desk = new Desk();
    await using proxy = await FaultProxy.start(server);
    const name = freshName();
    const slow = desk.timer(proxy.url, name);
    await slow.stats();
    const timer = desk.timer(server.url, name);
    const held = proxy.hold("request", new RegExp(schedule.sha1, "u"));
    const lost = failure(slow.schedule({ id: "a", afterMs: 0 }));
    await held.hit;
    expect(await timer.cancel("a")).toEqual({ kind: "absent" });
    held.release();
    expect(await lost).toBeInstanceOf(SupersededError);
    expect(await timer.get("a")).toBeNull();
    // A schedule that is asked for after the cancel is as good as any.
    expect(await timer.schedule({ id: "a", afterMs: 60_000 })).toMatchObject({ kind: "scheduled" });
  });

  it("T5 counter-test: without the tombstone the late schedule revives it", async () => {
    await using desk = new Desk();
    await using proxy = await FaultProxy.start(server);
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.stats();
    const slow = desk.timer(proxy.url, name);
    await slow.stats();
    await withAlteredLua(
      schedule,
      "elseif cancelled and tonumber(cancelled) > sentUs then",
      "elseif false then",
      async () => {
        const held = proxy.hold("request", new RegExp(schedule.sha1, "u"));
        const sent = slow.schedule({ id: "a", afterMs: 60_000 });
        await held.hit;
        expect(await timer.cancel("a")).toEqual({ kind: "absent" });
        held.release();
        await sent;
      },
    );
    expect(await timer.get("a")).toMatchObject({ state: "pending" });
  });

  it("T5 the tombstone outlives the longest bound of any client, not only the canceller's own", async () => {
    await using desk = new Desk();
    await using proxy = await FaultProxy.start(server);
    const name = freshName();
    const patient = desk.timer(proxy.url, name, { commandTimeoutMs: 5_000, rememberMs: 1_000 });
    const hasty = desk.timer(server.url, name, { commandTimeoutMs: 100, rememberMs: 1_000 });
    await patient.stats();
    const held = proxy.hold("request", new RegExp(schedule.sha1, "u"));
    const late = failure(patient.schedule({ id: "a", afterMs: 0 }));
    await held.hit;
    await hasty.cancel("a");
    // Long after the canceller's bound and its rememberMs, with traffic that makes the memories take turns.
    for (let round = 0; round < 24; round += 1) {
      await hasty.cancel(`other-${round}`);
      await delay(100);
    }
    held.release();
    expect(await late).toBeInstanceOf(SupersededError);
    expect(await hasty.get("a")).toBeNull();
  });

  it("T5 another client's schedule right after a cancel's answer is accepted", async () => {
    await using desk = new Desk();
    const name = freshName();
    const [one, two] = [desk.timer(server.url, name), desk.timer(server.url, name)];
    for (let round = 0; round < 200; round += 1) {
      await one.schedule({ id: `id-${round}`, afterMs: 60_000 });
      await one.cancel(`id-${round}`);
      expect(await two.schedule({ id: `id-${round}`, afterMs: 60_000 })).toMatchObject({ kind: "scheduled" });
    }
  });

  it("T5 cancelling a firing timer aborts its signal at the next heartbeat, and a retry does not deliver it again", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.schedule({ id: "a", afterMs: 0 });
    const started = Promise.withResolvers<Firing<undefined>>();
    let runs = 0;
    const worker = timer.worker({ leaseMs: 150, pollMs: 20, backoff: { baseMs: 1, delayMaxMs: 1 } }, async (firing) => {
      runs += 1;
      started.resolve(firing);
      await new Promise((_, reject) => {
        firing.signal.addEventListener("abort", () => reject(firing.signal.reason as Error));
      });
    });
    await worker.start();
    const firing = await started.promise;
    expect(await timer.cancel("a")).toEqual({ kind: "firing" });
    await pollUntil("its signal aborts", () => firing.signal.aborted);
    expect((firing.signal.reason as FiringLostError).reason).toBe("cancelled");
    await worker.idle();
    await delay(50);
    expect(runs).toBe(1);
    expect(await timer.get("a")).toBeNull();
    await worker.stop({ graceMs: 1_000 });
  });

  it("T5 a cancelled firing whose process vanished is not delivered again when its lease ends", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.schedule({ id: "a", afterMs: 0 });
    const { worker } = await occupied(desk, name, 100);
    expect(await timer.cancel("a")).toEqual({ kind: "firing" });
    await worker.stop({ graceMs: 0 });
    const catcher = new Catcher();
    const other = timer.worker({ pollMs: 20 }, catcher.handle);
    await other.start();
    await pollUntil("it is gone", async () => (await timer.get("a")) === null);
    expect(catcher.firings).toHaveLength(0);
    expect(other.counts().lapsed).toBe(1);
    await other.stop({ graceMs: 1_000 });
  });

  it("T5 counter-test: without the mark a cancelled firing is delivered again", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.schedule({ id: "a", afterMs: 0 });
    const { worker } = await occupied(desk, name, 100);
    await withAlteredLua(cancel, "isSuspect(noted[index]), true,", "isSuspect(noted[index]), false,", () =>
      timer.cancel("a"),
    );
    await worker.stop({ graceMs: 0 });
    const catcher = new Catcher();
    const other = timer.worker({ pollMs: 20 }, catcher.handle);
    await other.start();
    await catcher.caught(1);
    await other.stop({ graceMs: 1_000 });
  });

  it("T5 T4 a schedule after the cancel of a firing timer sets the next generation, which fires", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.schedule({ id: "a", afterMs: 0 });
    const { gate, worker } = await occupied(desk, name);
    await timer.schedule({ id: "a", afterMs: 60_000 });
    expect(await timer.cancel("a")).toEqual({ kind: "firing" });
    expect((await timer.get("a"))?.next).toBeNull();
    const next = await timer.schedule({ id: "a", afterMs: 60_000 });
    expect(next.kind).toBe("firing");
    gate.open();
    await worker.idle();
    expect(await timer.get("a")).toMatchObject({ state: "pending", generation: next.generation });
    await worker.stop({ graceMs: 1_000 });
  });
});

describe("T9 safe to repeat and to run late", () => {
  it("T9 K1 a schedule with the same operation id gets its first answer: pending, kept, replaced, firing, fired, cancelled", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    const first = await timer.schedule({ id: "a", afterMs: 60_000, operationId: "one" });
    expect(await timer.schedule({ id: "a", afterMs: 60_000, operationId: "one" })).toEqual(first);
    const kept = await timer.schedule({ id: "a", afterMs: 1, operationId: "two" });
    const replaced = await timer.schedule({ id: "a", afterMs: 0, ifExists: "replace", operationId: "three" });
    expect(await timer.schedule({ id: "a", afterMs: 60_000, operationId: "one" })).toEqual(first);
    expect(await timer.schedule({ id: "a", afterMs: 1, operationId: "two" })).toEqual(kept);
    const { gate, worker } = await occupied(desk, name);
    expect(await timer.schedule({ id: "a", afterMs: 0, ifExists: "replace", operationId: "three" })).toEqual(replaced);
    const next = await timer.schedule({ id: "a", afterMs: 60_000, operationId: "four" });
    expect(await timer.schedule({ id: "a", afterMs: 60_000, operationId: "four" })).toEqual(next);
    gate.open();
    await worker.idle();
    expect(await timer.schedule({ id: "a", afterMs: 0, ifExists: "replace", operationId: "three" })).toEqual(replaced);
    expect(await timer.schedule({ id: "a", afterMs: 60_000, operationId: "four" })).toEqual(next);
    expect(await timer.cancel("a", { operationId: "five" })).toEqual({ kind: "cancelled" });
    expect(await timer.schedule({ id: "a", afterMs: 60_000, operationId: "four" })).toEqual(next);
    expect(await timer.cancel("a", { operationId: "five" })).toEqual({ kind: "cancelled" });
    expect(await timer.get("a")).toBeNull();
    await worker.stop({ graceMs: 1_000 });
  });

  it("T9 K1 a schedule that was applied, whose reply was lost, and which is repeated after the timer fired does not fire twice", async () => {
    await using desk = new Desk();
    await using proxy = await FaultProxy.start(server);
    const name = freshName();
    const timer = desk.timer(proxy.url, name, { commandTimeoutMs: 300 });
    await timer.stats();
    const held = proxy.hold("reply", new RegExp(schedule.sha1, "u"));
    const error = await failure(timer.schedule({ id: "a", afterMs: 0 }));
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    expect((error as OutcomeUnknownError).effect).toBe("possible");
    held.release();
    const catcher = new Catcher();
    const worker = desk.timer(server.url, name).worker(catcher.handle);
    await worker.start();
    const [firing] = await catcher.caught(1);
    await worker.idle();
    const again = await timer.schedule({
      id: "a",
      afterMs: 0,
      operationId: (error as OutcomeUnknownError).operationId,
    });
    expect(again).toMatchObject({ kind: "scheduled", generation: firing?.generation });
    await worker.idle();
    expect(catcher.firings).toHaveLength(1);
    await worker.stop({ graceMs: 1_000 });
  });

  it("T9 K1 scheduleMany with the same operation id gets its first answers", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName());
    const requests = Array.from({ length: 300 }, (_, index) => ({
      id: `t${index % 290}`,
      afterMs: 60_000,
      ifExists: "replace" as const,
    }));
    const first = await timer.scheduleMany(requests, { operationId: "bulk" });
    expect(await timer.scheduleMany(requests, { operationId: "bulk" })).toEqual(first);
  });

  it("T9 K1 a schedule that is executed after its bound does nothing", async () => {
    await using desk = new Desk();
    await using proxy = await FaultProxy.start(server);
    const name = freshName();
    const timer = desk.timer(proxy.url, name, { commandTimeoutMs: 150 });
    await timer.stats();
    const held = proxy.hold("request", new RegExp(schedule.sha1, "u"));
    expect(await failure(timer.schedule({ id: "a", afterMs: 0 }))).toBeInstanceOf(OutcomeUnknownError);
    await delay(50);
    held.release();
    await pollUntil("the connection works again", () => timer.stats());
    expect(await timer.get("a")).toBeNull();
  });

  it("T9 K1 counter-test: without the bound the late schedule is pending", async () => {
    await using desk = new Desk();
    await using proxy = await FaultProxy.start(server);
    const timer = desk.timer(proxy.url, freshName(), { commandTimeoutMs: 150 });
    await timer.stats();
    await withAlteredLua(schedule, "if nowUs > notAfterUs then", "if false then", async () => {
      // The server has to know the altered script, or the late request is refused for that.
      await timer.schedule({ id: "warm-up", afterMs: 60_000 });
      const held = proxy.hold("request", new RegExp(schedule.sha1, "u"));
      expect(await failure(timer.schedule({ id: "a", afterMs: 60_000 }))).toBeInstanceOf(OutcomeUnknownError);
      await delay(50);
      held.release();
    });
    await pollUntil("it is pending", () => timer.get("a"));
  });

  it("T9 K7 a claim fused with acknowledgements whose reply is lost gives the same batch again", async () => {
    await using desk = new Desk();
    await using proxy = await FaultProxy.start(server);
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.scheduleMany(Array.from({ length: 200 }, (_, index) => ({ id: `t${index}`, afterMs: 0 })));
    const catcher = new Catcher();
    const worker = desk.timer(proxy.url, name).worker({ concurrencyMax: 20, leaseMs: 60_000 }, catcher.handle);
    const lost = proxy.swallowReply(new RegExp(claim.sha1, "u"), { times: 3 });
    await worker.start();
    await catcher.caught(200);
    await worker.idle();
    expect(lost.hits).toBe(3);
    expect(new Set(catcher.ids).size).toBe(200);
    expect(catcher.firings).toHaveLength(200);
    expect(worker.counts()).toMatchObject({ stale: 0, lapsed: 0 });
    await worker.stop({ graceMs: 1_000 });
  });

  it("T9 K7 counter-test: without the lane's memory a lost reply strands a batch until its lease ends", async () => {
    await using desk = new Desk();
    await using proxy = await FaultProxy.start(server);
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.scheduleMany(Array.from({ length: 40 }, (_, index) => ({ id: `t${index}`, afterMs: 0 })));
    await withAlteredLua(claim, "elseif first and first[1] == sequence then", "elseif false then", async () => {
      const warmUp = desk.timer(server.url, freshName()).worker(() => undefined);
      await warmUp.start();
      await warmUp.idle();
      const catcher = new Catcher();
      const worker = desk.timer(proxy.url, name).worker({ concurrencyMax: 20, leaseMs: 60_000 }, catcher.handle);
      const lost = proxy.swallowReply(new RegExp(claim.sha1, "u"));
      await worker.start();
      await lost.hit;
      await catcher.caught(20);
      await worker.idle();
      expect((await timer.stats()).leased).toBeGreaterThan(0);
      await worker.stop({ graceMs: 1_000 });
    });
  });

  it("T9 K1 a settlement that is delivered twice is answered as the first time", async () => {
    await using desk = new Desk();
    await using proxy = await FaultProxy.start(server);
    const timer = desk.timer(proxy.url, freshName());
    await timer.schedule({ id: "a", afterMs: 0 });
    const twice = proxy.repeat(new RegExp(settle.sha1, "u"), { keep: "last", times: Infinity });
    const worker = timer.worker({ backoff: { baseMs: 1, delayMaxMs: 1 }, attemptsMax: 3 }, () => {
      throw new Error("no");
    });
    await worker.start();
    await pollUntil("it is dead", async () => (await timer.stats()).dead === 1);
    await worker.idle();
    expect(twice.hits).toBe(3);
    expect(worker.counts()).toMatchObject({ stale: 0, retried: 2, dead: 1 });
    await worker.stop({ graceMs: 1_000 });
  });

  it("fireNow makes a pending timer due, and says when it is firing or absent", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.schedule({ id: "a", afterMs: 60_000 });
    expect(await timer.fireNow("nobody")).toEqual({ kind: "absent" });
    expect(await timer.fireNow("a", { operationId: "go" })).toEqual({ kind: "due" });
    const { gate, worker } = await occupied(desk, name);
    expect(await timer.fireNow("a")).toEqual({ kind: "firing" });
    gate.open();
    await worker.idle();
    expect(await timer.fireNow("a", { operationId: "go" })).toEqual({ kind: "due" });
    await worker.stop({ graceMs: 1_000 });
  });
});
