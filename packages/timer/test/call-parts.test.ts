/** What a call says of itself that is several requests, when one of them fails and others do not. */
import { HoldfastError, NotReplicatedError, OutcomeUnknownError, RedisUnavailableError } from "@holdfast/core";
import { pollUntil, RedisServer } from "@holdfast/testkit";
import type { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CallParts } from "../src/call-parts.ts";
import { PayloadError, PendingLimitError, ShardsMovingError } from "../src/index.ts";
import type { ScheduleRequest } from "../src/index.ts";
import { move, restore, schedule } from "../src/scripts.generated.ts";
import { Desk, failure, freshName, Gate, many, requests, serverTimeMs } from "./client.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

/** A client whose server refuses a script from its nth request on. */
function refusing(redis: Redis, { sha1 }: { readonly sha1: string }, nth: number): Redis {
  const call = redis.call.bind(redis) as (command: string, args: unknown[]) => Promise<unknown>;
  let sent = 0;
  const counted = async (command: string, args: unknown[]): Promise<unknown> => {
    if (args[0] === sha1) sent += 1;
    if (args[0] !== sha1 || sent < nth) return call(command, args);
    const refusal = new Error("READONLY You can't write against a read only replica.");
    throw Object.assign(refusal, { name: "ReplyError" });
  };
  return Object.assign(redis, { call: counted });
}

describe("scheduleMany", () => {
  it("does not say that nothing was done when the first script was carried out and the second was refused", async () => {
    await using desk = new Desk();
    const name = freshName();
    const plain = desk.timer(server.url, name);
    await plain.schedule({ id: "warm-up", afterMs: 60_000 });
    const timer = desk.timerOn(refusing(desk.redis(server.url), schedule, 2), name);
    const error = await failure(timer.scheduleMany(many(1_000, 60_000), { operationId: "own" }));
    expect(error).toMatchObject({ name: "OutcomeUnknownError", operationId: "own", effect: "possible" });
    expect(error.cause).toMatchObject({ name: "RedisUnavailableError", reason: "READONLY" });
    expect((await plain.stats()).pending).toBeGreaterThan(1);
    expect(await plain.scheduleMany(many(1_000, 60_000), { operationId: "own" })).toHaveLength(1_000);
  });

  it("says that nothing was done when it was so: refused at once, or beside timers that are kept", async () => {
    await using desk = new Desk();
    const name = freshName();
    const one = desk.timer(server.url, name, { pendingMax: 1 });
    await one.schedule({ id: "a", afterMs: 60_000 });
    const error = await failure(one.scheduleMany(["a", "b"].map((id) => ({ id, afterMs: 60_000 }))));
    expect(error).toBeInstanceOf(PendingLimitError);
    expect(error).toMatchObject({ effect: "none" });
    const refused = desk.timerOn(refusing(desk.redis(server.url), schedule, 1), name);
    expect(await failure(refused.scheduleMany(many(1_000, 60_000)))).toMatchObject({
      name: "RedisUnavailableError",
      effect: "none",
    });
  });

  it("has a refusal of one timer say that others are set", async () => {
    await using desk = new Desk();
    const one = desk.timer(server.url, freshName(), { pendingMax: 1 });
    const error = await failure(one.scheduleMany(["a", "b"].map((id) => ({ id, afterMs: 60_000 }))));
    expect(error).toBeInstanceOf(PendingLimitError);
    expect(error).toMatchObject({ effect: "possible", pendingMax: 1, message: /not all was done/u });
    expect(await one.get("a")).toMatchObject({ state: "pending" });
  });

  it("is not done on the master when too few replicas have confirmed a part and another was not sent", async () => {
    await using desk = new Desk();
    const durability = { replicas: 1, timeoutMs: 20 };
    const timer = desk.timer(server.url, freshName(), { durability });
    expect(await failure(timer.scheduleMany(many(10, 60_000)))).toBeInstanceOf(NotReplicatedError);
    const error = await failure(timer.scheduleMany(many(3_000, 60_000), { operationId: "own" }));
    expect(error).toMatchObject({ name: "OutcomeUnknownError", operationId: "own" });
    expect(error.cause).toBeInstanceOf(NotReplicatedError);
    expect((await timer.stats()).pending).toBeLessThan(3_000);
  });
});

describe("reconcile", () => {
  it("does not say that nothing was done when it has restored something, whoever fails then", async () => {
    await using desk = new Desk();
    const asOf = { asOfMs: (await serverTimeMs(server)) - 1_000 };
    const refused = desk.timerOn<{ n: number }>(refusing(desk.redis(server.url), restore, 2), freshName());
    const error = await failure(refused.reconcile(requests(600, 60_000), asOf));
    expect(error).toMatchObject({ name: "OutcomeUnknownError", effect: "possible", message: /reconcile again/u });
    expect(error.cause).toBeInstanceOf(RedisUnavailableError);
    expect(await failure(refused.reconcile(requests(1, 60_000), asOf))).toMatchObject({ effect: "none" });
    const plain = desk.timer<{ n: number }>(server.url, freshName());
    function* bad(of: number, reason: Error | undefined): Generator<ScheduleRequest<{ n: number }>> {
      yield* requests(of, 60_000);
      if (reason !== undefined) throw reason;
      yield { id: "bad", afterMs: 60_000, payload: 1n as never };
    }
    expect(await failure(plain.reconcile(bad(200, undefined), asOf))).toMatchObject({ effect: "none" });
    const payload = await failure(plain.reconcile(bad(300, undefined), asOf));
    expect(payload).toBeInstanceOf(PayloadError);
    expect(payload).toMatchObject({ effect: "possible", reason: "unserialisable" });
    const own = new Error("the caller's");
    expect(await failure(plain.reconcile(bad(300, own), asOf))).toBe(own);
  });
});

describe("migrateShards", () => {
  it("does not say that nothing was done once it has stopped a shard", async () => {
    await using desk = new Desk();
    const name = freshName();
    const one = desk.timer(server.url, name);
    await one.schedule({ id: "running", afterMs: 0 });
    const gate = new Gate();
    const worker = one.worker(() => gate.opened);
    await worker.start();
    await pollUntil("it runs", () => worker.counts().running === 1);
    const onRefusing = (nth: number): Promise<Error> =>
      failure(desk.timerOn(refusing(desk.redis(server.url), move, nth), name, { shards: 2 }).migrateShards());
    // The first two look at the shards, and only the third stops one.
    for (const nth of [1, 2, 3])
      expect(await onRefusing(nth)).toMatchObject({ name: "RedisUnavailableError", effect: "none" });
    const error = await onRefusing(4);
    expect(error).toMatchObject({
      name: "OutcomeUnknownError",
      effect: "possible",
      message: /migrateShards\(\) again/u,
    });
    expect(error.cause).toBeInstanceOf(RedisUnavailableError);
    const two = desk.timer(server.url, name, { shards: 2 });
    const waiting = await failure(two.migrateShards({ waitMs: 0 }));
    expect(waiting).toBeInstanceOf(ShardsMovingError);
    expect(waiting).toMatchObject({ effect: "possible" });
    expect(await failure(one.schedule({ id: "a", afterMs: 0 }))).toMatchObject({
      name: "ShardsMovingError",
      effect: "none",
    });
    gate.open();
    await worker.stop({ graceMs: 2_000 });
    await two.migrateShards();
  });
});

describe("failures of several parts", () => {
  const call = { operation: "call", operationId: "own" };
  const none = new RedisUnavailableError("part", "OOM", "advice");
  const unknown = new OutcomeUnknownError("part", "its", { why: "lost" });

  function failed(errors: readonly unknown[], isBegun: boolean): unknown {
    const parts = new CallParts(call);
    if (isBegun) parts.begin();
    for (const error of errors) parts.fail(error);
    return parts.failure;
  }

  it("end in the one that may have had an effect, under the call's own operation", () => {
    expect(failed([none, unknown], false)).toMatchObject({ name: "OutcomeUnknownError", operationId: "own" });
    expect(failed([none], false)).toBe(none);
    const partly = failed([none], true);
    expect(partly).toBeInstanceOf(HoldfastError);
    expect(partly).toMatchObject({ effect: "possible", cause: none, operationId: "own" });
    const misuse = new RangeError("at");
    expect(failed([misuse], true)).toBe(misuse);
  });
});
