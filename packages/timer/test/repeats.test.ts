/** T9, K1, K7: safe to repeat and to run late. */
import { setTimeout as delay } from "node:timers/promises";
import { FaultProxy, pollUntil, RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { OutcomeUnknownError } from "@holdfast/core";
import { claim, schedule, settle } from "../src/scripts.generated.ts";
import { withAlteredLua } from "../../../scripts/lua/altered.ts";
import { Catcher, Desk, failure, freshName } from "./client.ts";
import { occupied } from "./holders.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

/** Makes the server know the script, so that the first reply that is lost is a batch and not the request for its text. */
async function loadClaim(desk: Desk): Promise<void> {
  const warmUp = desk.timer(server.url, freshName()).worker(() => undefined);
  await warmUp.start();
  await warmUp.idle();
}

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
    const { gate, worker } = await occupied(desk, server.url, name);
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

  it("T5 T9 K1 a schedule behind a running firing is not revived by its repeat after both were cancelled", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.schedule({ id: "a", afterMs: 0 });
    const { gate, worker } = await occupied(desk, server.url, name);
    const behind = await timer.schedule({ id: "a", afterMs: 0, operationId: "behind" });
    expect(behind.kind).toBe("firing");
    expect(await timer.cancel("a")).toEqual({ kind: "firing" });
    gate.open();
    await worker.idle();
    expect(await timer.cancel("a")).toEqual({ kind: "absent" });
    expect(await timer.schedule({ id: "a", afterMs: 0, operationId: "behind" })).toEqual(behind);
    expect(await timer.get("a")).toBeNull();
    await worker.stop({ graceMs: 1_000 });
  });

  it("T9 K1 a schedule that was applied, whose reply was lost, and which is repeated after the timer fired does not fire twice", async () => {
    await using desk = new Desk();
    await using proxy = await FaultProxy.start(server);
    const name = freshName();
    const timer = desk.timer(proxy.url, name, { commandTimeoutMs: 4_000 });
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
    await pollUntil("it is opened in time", () => timer.stats());
    const held = proxy.hold("request", new RegExp(schedule.sha1, "u"));
    expect(await failure(timer.schedule({ id: "a", afterMs: 0 }))).toBeInstanceOf(OutcomeUnknownError);
    await delay(50);
    held.release();
    await pollUntil("the connection works again", () => timer.stats());
    expect(await desk.timer(server.url, name).get("a")).toBeNull();
  });

  it("T9 K1 counter-test: without the bound the late schedule is pending", async () => {
    await using desk = new Desk();
    await using proxy = await FaultProxy.start(server);
    const timer = desk.timer(proxy.url, freshName(), { commandTimeoutMs: 150 });
    await pollUntil("it is opened in time", () => timer.stats());
    await withAlteredLua(schedule, "if nowUs > notAfterUs then", "if false then", async () => {
      // The server has to know the altered script, or the late request is refused for that.
      await pollUntil("a warm-up is in time", () => timer.schedule({ id: "warm-up", afterMs: 60_000 }));
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
    await loadClaim(desk);
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
    await withAlteredLua(claim, "elseif last == sequence then", "elseif false then", async () => {
      await loadClaim(desk);
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

  it("T9 K1 an operation id that another kind of call has used names another operation: nothing is taken for its repeat", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.schedule({ id: "a", afterMs: 60_000, operationId: "first" });
    const kept = await timer.schedule({ id: "a", afterMs: 60_000, operationId: "request" });
    expect(await timer.fireNow("a", { operationId: "request" })).toEqual({ kind: "due" });
    expect(await timer.cancel("a", { operationId: "request" })).toEqual({ kind: "cancelled" });
    expect(await timer.dead.redrive("a", { operationId: "request" })).toEqual({ kind: "absent" });
    expect(await timer.dead.drop("a", { operationId: "request" })).toEqual({ kind: "absent" });
    expect(await timer.schedule({ id: "a", afterMs: 60_000, operationId: "request" })).toEqual(kept);
    expect(await timer.get("a")).toBeNull();
    expect(await timer.cancel("b", { operationId: "request" })).toEqual({ kind: "absent" });
    expect(await timer.schedule({ id: "b", afterMs: 60_000, operationId: "request" })).toMatchObject({
      kind: "scheduled",
    });
  });

  it("T9 K1 a schedule under the operation id of a redrive sets what it was asked for", async () => {
    await using desk = new Desk();
    const timer = desk.timer<{ n: number }>(server.url, freshName());
    await timer.schedule({ id: "a", afterMs: 0, payload: { n: 1 } });
    const failing = timer.worker({ attemptsMax: 1 }, () => {
      throw new Error("no");
    });
    await failing.start();
    await pollUntil("it is dead", () => failing.counts().dead === 1);
    await failing.stop({ graceMs: 1_000 });
    expect(await timer.dead.redrive("a", { operationId: "request" })).toEqual({ kind: "redriven" });
    const request = {
      id: "a",
      afterMs: 60_000,
      payload: { n: 2 },
      ifExists: "replace",
      operationId: "request",
    } as const;
    expect((await timer.schedule(request)).kind).toBe("replaced");
    expect(await timer.dead.redrive("a", { operationId: "request" })).toEqual({ kind: "redriven" });
    expect(await timer.get("a")).toMatchObject({ state: "pending", payload: { n: 2 } });
  });

  it("fireNow makes a pending timer due, and says when it is firing or absent", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.schedule({ id: "a", afterMs: 60_000 });
    expect(await timer.fireNow("nobody")).toEqual({ kind: "absent" });
    expect(await timer.fireNow("a", { operationId: "go" })).toEqual({ kind: "due" });
    const { gate, worker } = await occupied(desk, server.url, name);
    expect(await timer.fireNow("a")).toEqual({ kind: "firing" });
    gate.open();
    await worker.idle();
    expect(await timer.fireNow("a", { operationId: "go" })).toEqual({ kind: "due" });
    await worker.stop({ graceMs: 1_000 });
  });
});
