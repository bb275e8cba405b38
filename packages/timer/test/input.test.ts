/** Bad input of every call: a TypeError or RangeError that names the field, and nothing sent. The names, ids and deadlines of schedule are in limits.test.ts. */
import { RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ClosedError } from "@holdfast/core";
import { DurableTimer, PayloadError, RetryInError } from "../src/index.ts";
import type { TimerWorker } from "../src/index.ts";
import { Desk, failure, freshName } from "./client.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

interface Subject {
  readonly timer: DurableTimer<unknown>;
  readonly worker: TimerWorker<unknown>;
}

const lone = "a\uD800";
const long = "x".repeat(257);
const cases: readonly [
  what: string,
  call: (subject: Subject) => Promise<unknown>,
  kind: typeof TypeError | typeof RangeError,
  field: string,
][] = [
  ["an id that is a number", ({ timer }) => timer.schedule({ id: 5 as never, afterMs: 1 }), TypeError, "id"],
  ["an id that is null", ({ timer }) => timer.cancel(null as never), TypeError, "id"],
  ["half a character in an id", ({ timer }) => timer.schedule({ id: lone, afterMs: 1 }), RangeError, "id"],
  ["a delay as text", ({ timer }) => timer.schedule({ id: "a", afterMs: "5" as never }), TypeError, "afterMs"],
  ["a time as text", ({ timer }) => timer.schedule({ id: "a", at: "2026-01-01" as never }), TypeError, "at"],
  ["no request", ({ timer }) => timer.schedule(null as never), TypeError, "request"],
  ["no list of requests", ({ timer }) => timer.scheduleMany("abc" as never), TypeError, "requests"],
  ["null for requests", ({ timer }) => timer.scheduleMany(null as never), TypeError, "requests"],
  ["no request among many", ({ timer }) => timer.scheduleMany([null as never]), TypeError, "request"],
  ["an id that is bad among many", ({ timer }) => timer.scheduleMany([{ id: long, afterMs: 1 }]), RangeError, "id"],
  ["options that are none", ({ timer }) => timer.cancel("a", "x" as never), TypeError, "options"],
  ["an operation id with a space", ({ timer }) => timer.cancel("a", { operationId: "a b" }), RangeError, "operationId"],
  ["an id of fireNow", ({ timer }) => timer.fireNow(""), RangeError, "id"],
  ["an id of redrive", ({ timer }) => timer.dead.redrive(""), RangeError, "id"],
  ["an id of drop", ({ timer }) => timer.dead.drop(long), RangeError, "id"],
  ["a limit of nothing", ({ timer }) => timer.dead.list({ limit: 0 }), RangeError, "limit"],
  ["no time of reconcile", ({ timer }) => timer.reconcile([], {} as never), TypeError, "asOfMs"],
  [
    "a time of reconcile that is none",
    ({ timer }) => timer.reconcile([], { asOfMs: Number.NaN }),
    RangeError,
    "asOfMs",
  ],
  ["a fraction of a time", ({ timer }) => timer.reconcile([], { asOfMs: 1.5 }), RangeError, "asOfMs"],
  ["what is no list", ({ timer }) => timer.reconcile(5 as never, { asOfMs: 1 }), TypeError, "pending"],
  ["an item of reconcile", ({ timer }) => timer.reconcile([{ id: "", afterMs: 1 }], { asOfMs: 1 }), RangeError, "id"],
  ["a signal that is none", ({ timer }) => timer.migrateShards({ signal: {} as never }), TypeError, "signal"],
  ["a wait below zero", ({ timer }) => timer.migrateShards({ waitMs: -1 }), RangeError, "waitMs"],
  ["a grace below zero", async ({ worker }) => worker.stop({ graceMs: -1 }), RangeError, "graceMs"],
  ["a grace without end", async ({ worker }) => worker.stop({ graceMs: Infinity }), RangeError, "graceMs"],
  ["a stop without options", async ({ worker }) => worker.stop(null as never), TypeError, "options"],
  ["options of idle that are none", ({ worker }) => worker.idle(null as never), TypeError, "options"],
  ["what is no signal", ({ worker }) => worker.idle({ signal: 5 as never }), TypeError, "signal"],
];

describe("bad input", () => {
  it.each(cases)("%s is refused at the call, by name, and nothing is sent", async (_what, call, kind, field) => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer<unknown>(server.url, name);
    const error = await failure(call({ timer, worker: timer.worker(() => undefined) }));
    expect(error).toBeInstanceOf(kind);
    expect(error.message).toMatch(new RegExp(`^${field}\\b`, "u"));
    expect(await server.call("KEYS", `*{timer:${name}}*`)).toEqual([]);
  });

  it.each<[string, () => unknown, typeof TypeError | typeof RangeError, string]>([
    [
      "a name that is a number",
      () => new DurableTimer(new Desk().redis(server.url, { lazyConnect: true }), 5 as never),
      TypeError,
      "name",
    ],
    [
      "options that are none",
      () => new DurableTimer(new Desk().redis(server.url, { lazyConnect: true }), "x", 5 as never),
      TypeError,
      "options",
    ],
    ["no client", () => new DurableTimer(null as never, "x"), TypeError, "redis"],
    ["a delay of a retry that is none", () => new RetryInError(Number.NaN), RangeError, "delayMs"],
    ["a delay of a retry below zero", () => new RetryInError(-1), RangeError, "delayMs"],
  ])("%s is refused by the constructor", (_what, make, kind, field) => {
    expect(make).toThrow(kind);
    expect(make).toThrow(new RegExp(`^${field}\\b`, "u"));
  });

  it("every call is refused after close, those on dead letters included", async () => {
    await using desk = new Desk();
    const timer = desk.timer<unknown>(server.url, freshName());
    await timer.stats();
    await timer.close();
    const calls = [
      () => timer.schedule({ id: "a", afterMs: 1 }),
      () => timer.scheduleMany([{ id: "a", afterMs: 1 }]),
      () => timer.cancel("a"),
      () => timer.fireNow("a"),
      () => timer.get("a"),
      () => timer.stats(),
      () => timer.reconcile([], { asOfMs: 1 }),
      () => timer.migrateShards(),
      () => timer.dead.list(),
      () => timer.dead.redrive("a"),
      () => timer.dead.drop("a"),
    ];
    for (const call of calls) expect(await failure(call())).toBeInstanceOf(ClosedError);
  });

  it("a payload nested 100,000 deep, or that throws when it is written, is refused, and its caller's stack survives it", async () => {
    await using desk = new Desk();
    const timer = desk.timer<unknown>(server.url, freshName());
    let deep: unknown[] = [];
    for (let level = 0; level < 100_000; level += 1) deep = [deep];
    const throwing = {
      toJSON: () => {
        throw new Error("not this one");
      },
    };
    for (const payload of [deep, throwing, Symbol("x")]) {
      const error = await failure(timer.schedule({ id: "a", afterMs: 1, payload }));
      expect(error).toBeInstanceOf(PayloadError);
      expect(error).toMatchObject({ reason: "unserialisable", effect: "none" });
    }
    expect(await timer.get("a")).toBeNull();
  });
});
