/** Bad input, limits, formats, and what is left when all has ended. */
import { setTimeout as delay } from "node:timers/promises";
import { pollUntil, RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ClosedError, NewerFormatError } from "@holdfast/core";
import { DurableTimer, PayloadError, PendingLimitError } from "../src/index.ts";
import type { ScheduleRequest } from "../src/index.ts";
import { Catcher, Desk, failure, freshName, requests, serverTimeMs } from "./client.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

describe("bounded memory", () => {
  it("what has ended is forgotten after two turns, and nothing but the state is left", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer<{ n: number }>(server.url, name, { rememberMs: 1_000, commandTimeoutMs: 500 });
    // With so short a time each call may be too late, and is made again.
    const surely = <Result>(call: () => Promise<Result>): Promise<Result & {}> => pollUntil("a call is in time", call);
    const worker = timer.worker(() => undefined);
    await worker.start();
    await surely(() => timer.scheduleMany(requests(100, 0), { operationId: "first" }));
    await pollUntil("all fired", () => worker.counts().fired >= 100);
    await worker.idle();
    await worker.stop({ graceMs: 1_000 });
    await surely(() => timer.scheduleMany(requests(50, 60_000), { operationId: "second" }));
    for (const { id } of requests(50, 0)) await surely(() => timer.cancel(id));
    const redis = desk.redis(server.url);
    const keys = await redis.keys(`*{timer:${name}}*`);
    expect(keys.filter((key) => !/:memory:[ab]$/u.test(key))).toEqual([`holdfast:{timer:${name}}:state`]);
    await pollUntil("the memory is gone", async () => (await redis.keys(`*{timer:${name}}:memory*`)).length === 0);
  });
});

describe("limits and bad input", () => {
  it("refuses what is no name, id, deadline or option, naming the field, and sends nothing", async () => {
    await using desk = new Desk();
    const redis = desk.redis(server.url);
    for (const name of ["", "x".repeat(257), "\uD800"]) expect(() => new DurableTimer(redis, name)).toThrow(RangeError);
    const name = freshName();
    const timer = desk.timer<{ n: number } | undefined>(server.url, name, { delayMaxMs: 1_000_000 });
    for (const id of ["", "x".repeat(257)]) {
      expect(await failure(timer.schedule({ id, afterMs: 1 }))).toBeInstanceOf(RangeError);
      expect(await failure(timer.cancel(id))).toBeInstanceOf(RangeError);
      expect(await failure(timer.get(id))).toBeInstanceOf(RangeError);
    }
    for (const afterMs of [-1, Number.NaN, 1.5, Infinity, 1_000_001]) {
      const error = await failure(timer.schedule({ id: "a", afterMs }));
      expect(error).toBeInstanceOf(RangeError);
      expect(error.message).toContain("afterMs");
    }
    for (const at of [new Date(Number.NaN), -5, 0.5, 9e15]) {
      expect(await failure(timer.schedule({ id: "a", at }))).toBeInstanceOf(RangeError);
    }
    expect((await failure(timer.schedule({ id: "a", at: 4_000_000_000_000 }))).message).toContain("delayMaxMs");
    const both = { id: "a", afterMs: 1, at: 1 } as unknown as ScheduleRequest<undefined>;
    expect(await failure(timer.schedule(both))).toBeInstanceOf(TypeError);
    expect(await failure(timer.schedule({ id: "a" } as never))).toBeInstanceOf(TypeError);
    expect(await failure(timer.schedule({ id: "a", afterMs: 1, ifExists: "maybe" as never }))).toBeInstanceOf(
      TypeError,
    );
    expect(await failure(timer.schedule({ id: "a", afterMs: 1, operationId: "a b" }))).toBeInstanceOf(RangeError);
    expect(() => timer.worker({ concurrencyMax: 0 }, () => undefined)).toThrow(RangeError);
    expect(() => timer.worker({ leaseMs: 10 }, () => undefined)).toThrow(RangeError);
    expect(() => timer.worker("no" as never)).toThrow(TypeError);
    expect(() => new DurableTimer(redis, "x", { shards: 0 })).toThrow(RangeError);
    expect(() => new DurableTimer(redis, "x", { payload: {} as never })).toThrow(TypeError);
    expect(await redis.keys(`*${name}*`)).toEqual([`holdfast:{timer:${name}}:state`]);
  });

  it("names with braces and ids with any character work, each for itself", async () => {
    await using desk = new Desk();
    const names = ["a{b}c", "a%7Bb}c", "ünï:cødé", "a b"];
    const ids = ["o 1", "o\n1", "o{1}", "💶", "o:1", " ", '"'];
    for (const name of names) {
      const timer = desk.timer<string>(server.url, `${freshName()}${name}`);
      await timer.scheduleMany(ids.map((id) => ({ id, afterMs: 0, payload: id })));
      const catcher = new Catcher<string>();
      const worker = timer.worker(catcher.handle);
      await worker.start();
      await catcher.caught(ids.length);
      await worker.idle();
      expect(catcher.firings.map(({ payload }) => payload).toSorted()).toEqual(ids.toSorted());
      expect(catcher.ids.toSorted()).toEqual(ids.toSorted());
      await worker.stop({ graceMs: 1_000 });
    }
  });

  it("refuses payloads that are cyclic, not serialisable or too large, and takes those that just fit", async () => {
    await using desk = new Desk();
    const timer = desk.timer<unknown>(server.url, freshName(), { payloadBytesMax: 64 });
    const cyclic: { self?: unknown } = {};
    cyclic.self = cyclic;
    const bad: [unknown, string][] = [
      [cyclic, "unserialisable"],
      [10n, "unserialisable"],
      [() => 1, "unserialisable"],
      ["x".repeat(63), "too-large"],
      ["ü".repeat(32), "too-large"],
    ];
    for (const [payload, reason] of bad) {
      const error = await failure(timer.schedule({ id: "a", afterMs: 1, payload }));
      expect(error).toBeInstanceOf(PayloadError);
      expect(error).toMatchObject({ reason, effect: "none" });
    }
    for (const payload of ["x".repeat(62), "ü".repeat(31), null, 0, false, undefined]) {
      await timer.schedule({ id: "a", afterMs: 60_000, payload, ifExists: "replace" });
      expect((await timer.get("a"))?.payload).toEqual(payload);
    }
  });

  it("asks the schema when a timer is scheduled or reconciled, and when it fires", async () => {
    await using desk = new Desk();
    const name = freshName();
    const schema = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: (value: unknown) =>
          typeof (value as { n?: unknown } | undefined)?.n === "number"
            ? { value: value as { n: number } }
            : { issues: [{ message: "n must be a number" }] },
      },
    } as const;
    const timer = desk.timer<{ n: number }>(server.url, name, { payload: schema });
    const error = await failure(timer.schedule({ id: "a", afterMs: 0, payload: { n: "1" } as never }));
    expect(error).toMatchObject({ code: "TIMER_PAYLOAD", reason: "invalid" });
    expect(await failure(timer.scheduleMany([{ id: "a", afterMs: 0, payload: {} as never }]))).toBeInstanceOf(
      PayloadError,
    );
    const asOf = { asOfMs: (await serverTimeMs(server)) - 1_000 };
    expect(await failure(timer.reconcile([{ id: "a", afterMs: 0, payload: {} as never }], asOf))).toMatchObject({
      reason: "invalid",
    });
    await timer.schedule({ id: "good", afterMs: 0, payload: { n: 1 } });
    await desk.timer<{ n: string }>(server.url, name).schedule({ id: "bad", afterMs: 0, payload: { n: "1" } });
    const catcher = new Catcher<{ n: number }>();
    const worker = timer.worker({ attemptsMax: 1 }, catcher.handle);
    await worker.start();
    await pollUntil("the bad one is dead", async () => (await timer.stats()).dead === 1);
    await worker.idle();
    expect(catcher.ids).toEqual(["good"]);
    expect((await timer.dead.list())[0]?.error).toContain("n must be a number");
    await worker.stop({ graceMs: 1_000 });
  });

  it("a scheduleMany that is refused sends nothing more, and nothing of it is under way when its caller hears", async () => {
    await using desk = new Desk();
    const timer = desk.timer<{ n: number }>(server.url, freshName());
    await timer.stats();
    const [first, ...others] = requests(20_000, 60_000) as [ReturnType<typeof requests>[number]];
    const tooFar = { id: first.id, at: (await serverTimeMs(server)) + 400 * 86_400_000, payload: first.payload };
    expect(await failure(timer.scheduleMany([tooFar, ...others]))).toBeInstanceOf(RangeError);
    const { pending } = await timer.stats();
    expect(pending).toBeLessThan(10_000);
    await delay(300);
    expect((await timer.stats()).pending).toBe(pending);
  });

  it("refuses more than pendingMax timers, and leaves those that are there alone", async () => {
    await using desk = new Desk();
    const timer = desk.timer<{ n: number }>(server.url, freshName(), { pendingMax: 5 });
    expect(await failure(timer.scheduleMany(requests(8, 60_000)))).toBeInstanceOf(PendingLimitError);
    expect((await timer.stats()).pending).toBe(5);
    expect(await timer.schedule({ id: "t0", afterMs: 1, payload: { n: 1 } })).toMatchObject({ kind: "kept" });
    await timer.cancel("t0");
    expect(await timer.schedule({ id: "t7", afterMs: 60_000, payload: { n: 1 } })).toMatchObject({ kind: "scheduled" });
  });

  it("refuses to work after close, and closes its workers", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName());
    const worker = timer.worker(() => undefined);
    await worker.start();
    await timer.close();
    expect(await failure(timer.schedule({ id: "a", afterMs: 0 }))).toBeInstanceOf(ClosedError);
    expect(() => timer.worker(() => undefined)).toThrow(ClosedError);
    expect(await worker.stop({ graceMs: 0 })).toMatchObject({ unfinished: 0 });
  });

  it("refuses to touch what a newer version has written", async () => {
    await using desk = new Desk();
    const name = freshName();
    await server.call("HSET", `holdfast:{timer:${name}}:state`, "layout", "2:1:1795312345678901");
    expect(await failure(desk.timer(server.url, name).stats())).toBeInstanceOf(NewerFormatError);
  });

  it("a key of a wrong type gives a typed error and nothing half-written", async () => {
    await using desk = new Desk();
    const redis = desk.redis(server.url);
    for (const part of ["due", "data", "state", "memory:a"]) {
      const name = freshName();
      const timer = desk.timer(server.url, name);
      if (part !== "state") await timer.stats();
      const head = `holdfast:{timer:${name}}:`;
      await redis.set(`${head}${part}`, "mine");
      const error = await failure(timer.schedule({ id: "a", afterMs: 60_000 }));
      expect(error).toMatchObject({ code: "REDIS_REFUSED", reason: "WRONGTYPE", effect: "none" });
      const left = (await redis.keys(`${head}*`)).filter((key) => !key.endsWith(":state")).toSorted();
      expect(left).toEqual(part === "state" ? [] : [`${head}${part}`]);
    }
  });
});
