/** What each caller hears of a request that it shares with others, or that was sent twice (K1). */
import { NotReplicatedError, OutcomeUnknownError, RedisUnavailableError } from "@holdfast/core";
import { FaultProxy, pollUntil, RedisServer } from "@holdfast/testkit";
import type { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ShardsMovingError, SupersededError } from "../src/index.ts";
import type { DurableTimer } from "../src/index.ts";
import { cancel, open, schedule } from "../src/scripts.generated.ts";
import { Catcher, Desk, failure, freshName, Gate, serverTimeMs } from "./client.ts";

const durability = { replicas: 1, timeoutMs: 50 };

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

describe("a write that no replica confirms", () => {
  it("K1 is told to each caller of the tick under its own operation id, and a repeat with it does not fire again", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name, { durability });
    const errors = await Promise.all([
      failure(timer.schedule({ id: "a", afterMs: 0, operationId: "first" })),
      failure(timer.schedule({ id: "b", afterMs: 0 })),
      failure(timer.schedule({ id: "b", afterMs: 0, operationId: "third" })),
    ]);
    const [a, b, again] = errors as Error[] as NotReplicatedError[];
    for (const error of errors) expect(error).toBeInstanceOf(NotReplicatedError);
    expect([a?.operationId, again?.operationId]).toEqual(["first", "third"]);
    const plain = desk.timer(server.url, name);
    const catcher = new Catcher();
    const worker = plain.worker({ pollMs: 20 }, catcher.handle);
    await worker.start();
    await catcher.caught(2);
    await worker.idle();
    const operationId = b?.operationId as string;
    const fired = catcher.firings.find(({ id }) => id === "b");
    expect(await plain.schedule({ id: "b", afterMs: 0, operationId })).toMatchObject({ generation: fired?.generation });
    await worker.idle();
    expect(catcher.ids.toSorted()).toEqual(["a", "b"]);
    await worker.stop({ graceMs: 1_000 });
  });

  it("K1 is not told of a request that met a move of shards and did nothing", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name, { durability });
    expect(await failure(timer.schedule({ id: "a", afterMs: 60_000 }))).toBeInstanceOf(NotReplicatedError);
    await desk.redis(server.url).hset(`holdfast:{timer:${name}}:state`, "moving", "2");
    expect(await failure(timer.schedule({ id: "b", afterMs: 60_000 }))).toBeInstanceOf(ShardsMovingError);
    expect(await failure(timer.cancel("a"))).toBeInstanceOf(ShardsMovingError);
  });

  const calls: [string, (timer: DurableTimer) => Promise<unknown>][] = [
    ["schedule", (timer) => timer.schedule({ id: "new", afterMs: 60_000, operationId: "own" })],
    ["scheduleMany", (timer) => timer.scheduleMany([{ id: "new", afterMs: 60_000 }], { operationId: "own" })],
    ["cancel", (timer) => timer.cancel("pending", { operationId: "own" })],
    ["fireNow", (timer) => timer.fireNow("pending", { operationId: "own" })],
    ["redrive", (timer) => timer.dead.redrive("dead", { operationId: "own" })],
    ["drop", (timer) => timer.dead.drop("dead", { operationId: "own" })],
  ];
  for (const [call, make] of calls) {
    it(`says so: ${call}`, async () => {
      await using desk = new Desk();
      const name = freshName();
      const plain = desk.timer(server.url, name);
      await plain.scheduleMany(["pending", "dead"].map((id) => ({ id, afterMs: id === "dead" ? 0 : 60_000 })));
      const worker = plain.worker({ attemptsMax: 1 }, () => {
        throw new Error("no");
      });
      await worker.start();
      await pollUntil("it died", () => worker.counts().dead === 1);
      await worker.stop({ graceMs: 1_000 });
      const error = await failure(make(desk.timer(server.url, name, { durability })));
      expect(error).toMatchObject({ name: "NotReplicatedError", operationId: "own", effect: "possible" });
    });
  }
});

describe("a refusal, while no replica confirms anything", () => {
  it("K1 is told as it is where nothing is noted of it: no room, overtaken, too far", async () => {
    await using desk = new Desk();
    const name = freshName();
    const plain = desk.timer(server.url, name);
    await plain.schedule({ id: "there", afterMs: 60_000 });
    const full = desk.timer(server.url, name, { durability, pendingMax: 1 });
    expect(await failure(full.schedule({ id: "more", afterMs: 60_000 }))).toMatchObject({
      name: "PendingLimitError",
      effect: "none",
    });
    expect(await failure(full.scheduleMany([{ id: "more", afterMs: 60_000 }]))).toMatchObject({
      name: "PendingLimitError",
      effect: "none",
    });
    expect(await failure(full.schedule({ id: "there", afterMs: 60_000 }))).toBeInstanceOf(NotReplicatedError);
    await using proxy = await FaultProxy.start(server);
    const slow = desk.timer(proxy.url, name, { durability, delayMaxMs: 1_000 });
    const at = (await serverTimeMs(server)) + 3_600_000;
    expect(await failure(slow.schedule({ id: "far", at }))).toBeInstanceOf(RangeError);
    const held = proxy.hold("request", new RegExp(schedule.sha1, "u"));
    const overtaken = failure(slow.schedule({ id: "gone", afterMs: 500 }));
    await held.hit;
    await plain.cancel("gone");
    held.release();
    expect(await overtaken).toBeInstanceOf(SupersededError);
    expect(await plain.stats()).toMatchObject({ pending: 1 });
  });

  it("K1 is told to its own caller of the tick, while another one hears that it is done on the master", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName(), { durability, pendingMax: 1 });
    const many = ["a", "b"].map((id) => ({ id, afterMs: 60_000 }));
    const [done, refused] = await Promise.all(many.map((request) => failure(timer.schedule(request))));
    expect(done).toBeInstanceOf(NotReplicatedError);
    expect(refused).toMatchObject({ name: "PendingLimitError", effect: "none" });
    const other = desk.timer(server.url, freshName(), { durability, pendingMax: 1 });
    const error = await failure(other.scheduleMany(many, { operationId: "own" }));
    expect(error).toMatchObject({ name: "OutcomeUnknownError", operationId: "own" });
    expect(error.cause).toBeInstanceOf(NotReplicatedError);
  });

  it("T5 is not told as done on the master where it is noted: a cancel of what is firing, a redrive of what is not dead", async () => {
    await using desk = new Desk();
    const name = freshName();
    const plain = desk.timer(server.url, name);
    await plain.schedule({ id: "running", afterMs: 0 });
    const gate = new Gate();
    const worker = plain.worker(() => gate.opened);
    await worker.start();
    await pollUntil("it runs", () => worker.counts().running === 1);
    const timer = desk.timer(server.url, name, { durability });
    const refusals = [
      timer.dead.redrive("none", { operationId: "own" }),
      timer.fireNow("none", { operationId: "own" }),
      timer.cancel("running", { operationId: "own" }),
    ];
    for (const refused of refusals)
      expect(await failure(refused)).toMatchObject({ name: "OutcomeUnknownError", operationId: "own" });
    expect(await plain.cancel("running", { operationId: "own" })).toEqual({ kind: "firing" });
    gate.open();
    await worker.stop({ graceMs: 2_000 });
  });

  it("T2 is told as it is by reconcile, which restores nothing then", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName(), { durability });
    const pending = [{ id: "a", afterMs: 60_000 }];
    expect(await failure(timer.reconcile(pending, { asOfMs: 1 }))).toMatchObject({
      name: "ReconcileWindowError",
      effect: "none",
    });
    const asOfMs = (await serverTimeMs(server)) - 1_000;
    expect(await failure(timer.reconcile(pending, { asOfMs }))).toBeInstanceOf(NotReplicatedError);
  });
});

describe("a call that has to open the shard first, whose answer to that is lost", () => {
  const calls: [string, (timer: DurableTimer) => Promise<unknown>][] = [
    ["schedule", (timer) => timer.schedule({ id: "a", afterMs: 60_000, operationId: "own" })],
    ["cancel", (timer) => timer.cancel("a", { operationId: "own" })],
    ["fireNow", (timer) => timer.fireNow("a", { operationId: "own" })],
    ["redrive", (timer) => timer.dead.redrive("a", { operationId: "own" })],
    ["drop", (timer) => timer.dead.drop("a", { operationId: "own" })],
  ];
  for (const [call, make] of calls) {
    it(`K1 names its own operation: ${call}`, async () => {
      await using desk = new Desk();
      await using proxy = await FaultProxy.start(server);
      const timer = desk.timer(proxy.url, freshName(), { commandTimeoutMs: 1_000 });
      await desk.timer(server.url, freshName()).stats();
      const lost = proxy.hold("reply", new RegExp(open.sha1, "u"));
      const error = await failure(make(timer));
      expect(lost.hits).toBe(1);
      expect(error).toMatchObject({ name: "OutcomeUnknownError", operationId: "own" });
      lost.release();
    });
  }
});

/** Demotes the server before the second request with this script; resolves when the client is as before. */
function demotedBeforeSecond(redis: Redis, admin: Redis, sha1: string): void {
  const call = redis.call.bind(redis) as (command: string, args: unknown[]) => Promise<unknown>;
  let sent = 0;
  const counted = async (command: string, args: unknown[]): Promise<unknown> => {
    if (args[0] === sha1) sent += 1;
    if (args[0] === sha1 && sent === 2) await admin.call("REPLICAOF", "127.0.0.1", "1");
    return call(command, args);
  };
  Object.assign(redis, { call: counted });
}

describe("a tick in which an id comes twice, when the server is demoted in between", () => {
  it("K1 schedules that were carried out have their answers, and only the others hear that nothing was done", async () => {
    await using own = await RedisServer.start();
    await using desk = new Desk();
    const [redis, admin] = [desk.redis(own.url), desk.redis(own.url)];
    const timer = desk.timerOn(redis, freshName());
    await timer.schedule({ id: "warm-up", afterMs: 60_000 });
    demotedBeforeSecond(redis, admin, schedule.sha1);
    const [a, b, again] = await Promise.allSettled(
      ["a", "b", "a"].map((id) => timer.schedule({ id, afterMs: 60_000, ifExists: "replace" })),
    );
    await admin.call("REPLICAOF", "NO", "ONE");
    expect([a?.status, b?.status, again?.status]).toEqual(["fulfilled", "fulfilled", "rejected"]);
    expect((again as PromiseRejectedResult).reason).toBeInstanceOf(RedisUnavailableError);
    expect((await timer.get("a"))?.generation).toBe(
      (a as PromiseFulfilledResult<{ generation: number }>).value.generation,
    );
  });

  it("K1 cancellations that were carried out have theirs, too", async () => {
    await using own = await RedisServer.start();
    await using desk = new Desk();
    const [redis, admin] = [desk.redis(own.url), desk.redis(own.url)];
    const timer = desk.timerOn(redis, freshName());
    await timer.schedule({ id: "a", afterMs: 60_000 });
    await timer.cancel("warm-up");
    demotedBeforeSecond(redis, admin, cancel.sha1);
    const [a, again] = await Promise.allSettled([timer.cancel("a"), timer.cancel("a")]);
    await admin.call("REPLICAOF", "NO", "ONE");
    expect(a).toEqual({ status: "fulfilled", value: { kind: "cancelled" } });
    expect((again as PromiseRejectedResult).reason).toBeInstanceOf(RedisUnavailableError);
  });
});

describe("a request that was carried out, whose reply was lost, and whose repeat meets a move of shards", () => {
  for (const [call, { sha1 }] of [
    ["schedule", schedule],
    ["cancel", cancel],
  ] as const) {
    it(`K1 has not had no effect: ${call}`, async () => {
      await using desk = new Desk();
      await using proxy = await FaultProxy.start(server);
      const name = freshName();
      const timer = desk.timer(proxy.url, name);
      await timer.schedule({ id: "pending", afterMs: 60_000 });
      await timer.cancel("warm-up");
      const make = (operationId?: string): Promise<unknown> =>
        call === "schedule"
          ? timer.schedule({ id: "new", afterMs: 60_000, operationId })
          : timer.cancel("pending", { operationId });
      const lost = proxy.hold("reply", new RegExp(sha1, "u"));
      const error = failure(make());
      await lost.hit;
      const redis = desk.redis(server.url);
      const state = `holdfast:{timer:${name}}:state`;
      await redis.hset(state, "moving", "2");
      proxy.reset();
      expect(await error).toBeInstanceOf(OutcomeUnknownError);
      expect(await failure(make())).toBeInstanceOf(ShardsMovingError);
      await redis.hdel(state, "moving");
      const told = await make(((await error) as OutcomeUnknownError).operationId);
      expect(told).toMatchObject({ kind: call === "schedule" ? "scheduled" : "cancelled" });
    });
  }
});
