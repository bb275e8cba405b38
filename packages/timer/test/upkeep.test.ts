/** T11 and what else keeps a set of timers in order: shards, reconcile, dead letters in numbers, limits, bad input, clocks. */
import { setTimeout as delay } from "node:timers/promises";
import { ClockSkew, pollUntil, RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ClosedError, NewerFormatError } from "@holdfast/core";
import {
  DurableTimer,
  PayloadError,
  PendingLimitError,
  ReconcileWindowError,
  ShardsMismatchError,
  ShardsMovingError,
} from "@holdfast/timer";
import type { ScheduleRequest } from "@holdfast/timer";
import { restore } from "../src/scripts.generated.ts";
import { withAlteredLua } from "./altered-lua.ts";
import { Catcher, Desk, failure, freshName, Gate } from "./client.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

function requests(count: number, afterMs: number): { id: string; afterMs: number; payload: { n: number } }[] {
  return Array.from({ length: count }, (_, n) => ({ id: `t${n}`, afterMs, payload: { n } }));
}

async function serverTimeMs(): Promise<number> {
  const [seconds, microseconds] = (await server.call("TIME")) as string[];
  return Number(seconds) * 1_000 + Math.floor(Number(microseconds) / 1_000);
}

describe("T11 shards", () => {
  it("T11 a client with another number of shards is refused before it touches anything", async () => {
    await using desk = new Desk();
    const name = freshName();
    const four = desk.timer<{ n: number }>(server.url, name, { shards: 4 });
    await four.scheduleMany(requests(20, 60_000));
    const one = desk.timer<{ n: number }>(server.url, name);
    const error = await failure(one.schedule({ id: "t1", afterMs: 0, payload: { n: 1 } }));
    expect(error).toBeInstanceOf(ShardsMismatchError);
    expect(error).toMatchObject({ shards: 1, shardsStored: 4, effect: "none" });
    expect(await failure(desk.timer(server.url, name, { shards: 3 }).cancel("t1"))).toBeInstanceOf(ShardsMismatchError);
    expect((await four.stats()).pending).toBe(20);
  });

  it("T11 a worker with another number of shards says so, claims nothing, and works once the numbers agree", async () => {
    await using desk = new Desk();
    const name = freshName();
    const two = desk.timer<{ n: number }>(server.url, name, { shards: 2 });
    await two.scheduleMany(requests(10, 0));
    const catcher = new Catcher<{ n: number }>();
    const worker = desk.timer<{ n: number }>(server.url, name).worker({ pollMs: 20 }, catcher.handle);
    await worker.start();
    await pollUntil("it says so", () =>
      desk.events.some((event) => event.type === "trouble" && event.error instanceof ShardsMismatchError),
    );
    expect(catcher.firings).toHaveLength(0);
    await desk.timer(server.url, name, { shards: 1 }).migrateShards();
    await catcher.caught(10);
    await worker.idle();
    expect(new Set(catcher.ids).size).toBe(10);
    await worker.stop({ graceMs: 1_000 });
  });

  for (const [from, to] of [
    [1, 4],
    [4, 1],
    [3, 5],
  ] as const) {
    it(`T11 timers, retries, dead letters and generations survive a migration from ${from} to ${to} shards, none lost or doubled`, async () => {
      await using desk = new Desk();
      const name = freshName();
      const before = desk.timer<{ n: number }>(server.url, name, { shards: from });
      await before.scheduleMany(requests(600, 60_000));
      await before.scheduleMany([
        { id: "dead", afterMs: 0, payload: { n: -1 } },
        { id: "retried", afterMs: 0, payload: { n: -2 } },
      ]);
      const failing = before.worker({ backoff: { baseMs: 60_000, jitter: 0 }, attemptsMax: 2 }, ({ id }) => {
        throw new Error(id === "dead" ? "dead" : "again");
      });
      await failing.start();
      await pollUntil("both have failed", () => failing.counts().retried === 2);
      await before.fireNow("dead");
      await pollUntil("one is dead", async () => (await before.stats()).dead === 1);
      await failing.stop({ graceMs: 1_000 });
      const generation = (await before.get("t5"))?.generation as number;
      const after = desk.timer<{ n: number }>(server.url, name, { shards: to });
      const reports = await Promise.all([after.migrateShards(), after.migrateShards()]);
      expect(reports.some(({ moved }) => moved > 0)).toBe(true);
      expect(await after.stats()).toMatchObject({ pending: 601, dead: 1, leased: 0 });
      expect(await after.get("t5")).toMatchObject({ payload: { n: 5 }, generation });
      expect(await after.get("retried")).toMatchObject({ attempts: 1 });
      expect(await failure(before.stats())).toBeInstanceOf(ShardsMismatchError);
      const replaced = await after.schedule({ id: "t5", afterMs: 60_000, payload: { n: 5 }, ifExists: "replace" });
      expect(replaced.generation).toBeGreaterThan(generation);
      expect(await after.dead.redrive("dead")).toEqual({ kind: "redriven" });
      const catcher = new Catcher<{ n: number }>();
      const worker = after.worker(catcher.handle);
      await worker.start();
      for (let n = 0; n < 600; n += 1) await after.fireNow(`t${n}`);
      await catcher.caught(601);
      await worker.idle();
      expect(new Set(catcher.ids).size).toBe(601);
      await worker.stop({ graceMs: 1_000 });
    });
  }

  it("T11 a migration waits for running firings, whose acknowledgements still count, and refuses the rest meanwhile", async () => {
    await using desk = new Desk();
    const name = freshName();
    const before = desk.timer<{ n: number }>(server.url, name);
    await before.scheduleMany(requests(5, 0));
    const gate = new Gate();
    const catcher = new Catcher<{ n: number }>();
    const worker = before.worker({ leaseMs: 60_000 }, async (firing) => {
      catcher.handle(firing);
      await gate.opened;
    });
    await worker.start();
    await catcher.caught(5);
    const after = desk.timer<{ n: number }>(server.url, name, { shards: 3 });
    const migrating = after.migrateShards();
    await pollUntil("schedules are refused", async () => {
      return (
        (await failure(before.schedule({ id: "new", afterMs: 60_000, payload: { n: 0 } }))) instanceof ShardsMovingError
      );
    });
    gate.open();
    expect(await migrating).toMatchObject({ from: 1, to: 3 });
    expect(await after.stats()).toMatchObject({ due: 0, leased: 0 });
    expect(worker.counts()).toMatchObject({ fired: 5, stale: 0 });
    await worker.stop({ graceMs: 100 });
  });

  it("T11 a migration whose caller gave up half-way is brought to its end by the next one", async () => {
    await using desk = new Desk();
    const name = freshName();
    const before = desk.timer<{ n: number }>(server.url, name);
    await before.scheduleMany(requests(50, 60_000));
    await before.schedule({ id: "running", afterMs: 0, payload: { n: 0 } });
    const gate = new Gate();
    const worker = before.worker(() => gate.opened);
    await worker.start();
    await pollUntil("it runs", () => worker.counts().running === 1);
    const after = desk.timer<{ n: number }>(server.url, name, { shards: 2 });
    expect(await failure(after.migrateShards({ waitMs: 0 }))).toBeInstanceOf(ShardsMovingError);
    expect(await failure(after.stats())).toBeInstanceOf(ShardsMismatchError);
    gate.open();
    await worker.stop({ graceMs: 2_000 });
    expect(await after.migrateShards()).toMatchObject({ from: 1, to: 2 });
    expect(await after.stats()).toMatchObject({ pending: 50 });
  });
});

describe("reconcile", () => {
  it("T2 brings back what is missing, and never what fired, was cancelled or died after asOfMs", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer<{ n: number }>(server.url, name);
    const pending = requests(4, 60_000);
    await timer.scheduleMany(pending);
    const asOfMs = await serverTimeMs();
    await delay(2);
    await timer.cancel("t0");
    const worker = timer.worker({ attemptsMax: 1 }, ({ id }) => {
      if (id === "t2") throw new Error("no");
    });
    await worker.start();
    await timer.fireNow("t1");
    await timer.fireNow("t2");
    await pollUntil("one fired, one died", () => worker.counts().fired === 1 && worker.counts().dead === 1);
    await worker.idle();
    async function* records(): AsyncGenerator<ScheduleRequest<{ n: number }>> {
      yield* pending;
      yield { id: "lost", at: asOfMs + 60_000, payload: { n: 9 } };
    }
    expect(await timer.reconcile(records(), { asOfMs })).toEqual({ restored: 1, present: 1, ended: 2, dead: 1 });
    expect(await timer.get("lost")).toMatchObject({ payload: { n: 9 }, dueAtMs: asOfMs + 60_000 });
    expect(await timer.get("t0")).toBeNull();
    expect(await timer.reconcile(records(), { asOfMs })).toMatchObject({ restored: 0, present: 2 });
    await worker.stop({ graceMs: 1_000 });
  });

  it("T2 counter-test: a reconcile that does not ask what has ended revives it", async () => {
    await using desk = new Desk();
    const timer = desk.timer<{ n: number }>(server.url, freshName());
    const pending = requests(1, 60_000);
    await timer.scheduleMany(pending);
    const asOfMs = await serverTimeMs();
    await delay(2);
    await timer.cancel("t0");
    await withAlteredLua(
      restore,
      "elseif cancelledUs > asOfUs or endedUs > asOfUs then",
      "elseif false then",
      async () => {
        expect(await timer.reconcile(pending, { asOfMs })).toMatchObject({ restored: 1 });
      },
    );
  });

  it("T2 refuses a time of which the server has forgotten too much, and one that has not come", async () => {
    await using desk = new Desk();
    const timer = desk.timer<{ n: number }>(server.url, freshName());
    await timer.stats();
    const now = await serverTimeMs();
    const old = await failure(timer.reconcile(requests(1, 0), { asOfMs: now - 600_000 }));
    expect(old).toBeInstanceOf(ReconcileWindowError);
    expect((old as ReconcileWindowError).earliestMs).toBeGreaterThan(now - 130_000);
    expect(await failure(timer.reconcile(requests(1, 0), { asOfMs: now + 60_000 }))).toBeInstanceOf(
      ReconcileWindowError,
    );
  });

  it("T2 after the server has lost everything, the records of the caller bring all timers back", async () => {
    await using desk = new Desk();
    await using own = await RedisServer.start();
    const timer = desk.timer<{ n: number }>(own.url, freshName());
    const catcher = new Catcher<{ n: number }>();
    const worker = timer.worker({ pollMs: 50 }, catcher.handle);
    await worker.start();
    await timer.scheduleMany(requests(500, 60_000));
    await own.call("FLUSHALL");
    await timer.stats();
    await delay(2);
    const [seconds, microseconds] = (await own.call("TIME")) as string[];
    const asOfMs = Number(seconds) * 1_000 + Math.floor(Number(microseconds) / 1_000);
    const report = await timer.reconcile(requests(500, 20), { asOfMs });
    expect(report).toEqual({ restored: 500, present: 0, ended: 0, dead: 0 });
    await catcher.caught(500);
    await worker.idle();
    expect(desk.events.filter(({ type }) => type === "founded").length).toBeGreaterThanOrEqual(2);
    await worker.stop({ graceMs: 1_000 });
  });
});

describe("bounded memory", () => {
  it("what has ended is forgotten after two turns, and nothing but the state is left", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer<{ n: number }>(server.url, name, { rememberMs: 1_000, commandTimeoutMs: 500 });
    const worker = timer.worker(() => undefined);
    await worker.start();
    await timer.scheduleMany(requests(100, 0));
    await pollUntil("all fired", () => worker.counts().fired === 100);
    await worker.idle();
    await worker.stop({ graceMs: 1_000 });
    await timer.scheduleMany(requests(50, 60_000));
    for (const { id } of requests(50, 0)) await timer.cancel(id);
    const redis = desk.redis(server.url);
    const keys = await redis.keys(`*{timer:${name}}*`);
    expect(keys.toSorted()).toEqual([`holdfast:{timer:${name}}:memory:b`, `holdfast:{timer:${name}}:state`]);
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

  it("asks the schema when a timer is scheduled and when it fires", async () => {
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

describe("K8 clocks", () => {
  it("K8 a lease that a clock set back leaves standing for an hour ends one lease after that was first seen", async () => {
    await using skew = await ClockSkew.create();
    await using own = await RedisServer.start({ env: { ...skew.env } });
    await using desk = new Desk();
    const name = freshName();
    await skew.set(3_600_000);
    const timer = desk.timer(own.url, name);
    await timer.scheduleMany(["dead", "alive"].map((id) => ({ id, afterMs: 0 })));
    const held = async (
      id: string,
      leaseMs: number,
    ): Promise<{
      stop(options: { graceMs: number }): Promise<unknown>;
      counts(): { fired: number; lost: number };
      gate: Gate;
    }> => {
      const gate = new Gate();
      const started = new Gate();
      const worker = timer.worker({ leaseMs, concurrencyMax: 1 }, async () => {
        started.open();
        await gate.opened;
      });
      await worker.start();
      await started.opened;
      void id;
      return { stop: (options) => worker.stop(options), counts: () => worker.counts(), gate };
    };
    const dead = await held("dead", 400);
    const alive = await held("alive", 400);
    await dead.stop({ graceMs: 0 });
    await skew.set(0);
    const catcher = new Catcher();
    const heir = timer.worker({ leaseMs: 400, pollMs: 20 }, catcher.handle);
    await heir.start();
    const begin = performance.now();
    await catcher.caught(1);
    expect(performance.now() - begin).toBeLessThan(10_000);
    await delay(500);
    // The live holder has extended its lease by the new clock and keeps its timer.
    expect(catcher.firings).toHaveLength(1);
    alive.gate.open();
    await pollUntil("it is acknowledged", async () => (await timer.stats()).leased === 0);
    expect(alive.counts()).toMatchObject({ fired: 1, lost: 0 });
    await heir.stop({ graceMs: 1_000 });
    await alive.stop({ graceMs: 1_000 });
  });

  it("T1 the clock of the client decides nothing: an hour of skew in the process changes no deadline", async () => {
    await using desk = new Desk();
    const name = freshName();
    const wall = Date.now() + 3_600_000;
    const { systemClock } = await import("@holdfast/core");
    const timer = desk.timer(server.url, name, { clock: { ...systemClock, wallMs: () => wall } });
    const { dueAtMs } = await timer.schedule({ id: "a", afterMs: 50 });
    expect(Math.abs(dueAtMs - (await serverTimeMs()))).toBeLessThan(5_000);
    const catcher = new Catcher();
    const worker = timer.worker(catcher.handle);
    await worker.start();
    const [firing] = await catcher.caught(1);
    expect(firing?.latenessMs).toBeGreaterThanOrEqual(0);
    expect(firing?.latenessMs).toBeLessThan(5_000);
    await worker.stop({ graceMs: 1_000 });
  });
});
