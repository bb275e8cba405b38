/** Bad input, faults and outages. */
import { pollUntil } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import {
  AttemptLostError,
  AttemptSupersededError,
  ClosedError,
  Idempotency,
  jsonCodec,
  InProgressError,
  OutcomeUnknownError,
  RedisUnavailableError,
  ResultNotStoredError,
  ResultUnreadableError,
  StoredError,
} from "../src/index.ts";
import type { Attempt, Codec, IdempotencyEvent } from "../src/index.ts";
import { all, gate, pass, rejection, uniqueName, useBench } from "./fixture.ts";

const bench = useBench();

describe("bad input", () => {
  it.each([
    [{ leaseMs: 49 }, RangeError, /leaseMs must be a whole number from 50 to 86400000, got 49/],
    [{ retentionMs: 1.5 }, RangeError, /retentionMs/],
    [{ waitMs: -1 }, RangeError, /waitMs/],
    [{ onUnknown: "ignore" }, TypeError, /onUnknown must be one of "recover", "hold", got "ignore"/],
    [{ whenUnreachable: "maybe" }, TypeError, /whenUnreachable/],
    [{ onError: "release" }, TypeError, /onError must be a function/],
    [{ codec: { id: "x" } }, TypeError, /codec\.encode/],
    [{ codec: { ...jsonCodec, id: "failure" } }, RangeError, /codec\.id/],
    [{ formerCodecs: [{}] }, TypeError, /formerCodecs\[0\]\.id/],
    [{ resultBytesMax: 10 }, RangeError, /resultBytesMax/],
    [{ prefix: "a{b}" }, RangeError, /prefix/],
  ])("the constructor refuses %j", (options, type, message) => {
    const make = (): unknown => new Idempotency(bench.redis, "n", options as object);
    expect(make).toThrow(type);
    expect(make).toThrow(message);
  });

  it("the constructor refuses a bad name and no client, and takes undefined for every option", () => {
    expect(() => new Idempotency(bench.redis, "")).toThrow(/name must be a string of 1 to 256 bytes/);
    expect(() => new Idempotency({} as never, "n")).toThrow(TypeError);
    const all = [
      "retentionMs",
      "leaseMs",
      "waitMs",
      "onError",
      "onUnknown",
      "codec",
      "formerCodecs",
      "clock",
      "random",
    ];
    expect(new Idempotency(bench.redis, "n", Object.fromEntries(all.map((name) => [name, undefined])))).toBeDefined();
  });

  it.each([
    ["", RangeError],
    ["x".repeat(257), RangeError],
    ["\ud800", RangeError],
    [7, TypeError],
    [{ key: "" }, RangeError],
    [{ key: "k", tenant: "" }, RangeError],
    [{ tenant: "t" }, TypeError],
    [null, TypeError],
  ])("run refuses the key %j and runs nothing", async (key, type) => {
    const idempotency = bench.idempotency();
    expect(await rejection(idempotency.run(key as string, () => expect.unreachable()))).toBeInstanceOf(type);
  });

  it("run refuses a wrong signal, waiting time, function or payload, and leaves nothing behind", async () => {
    const idempotency = bench.idempotency();
    const never = (): void => expect.unreachable();
    expect(await rejection(idempotency.run("k", { signal: {} as AbortSignal }, never))).toBeInstanceOf(TypeError);
    expect(await rejection(idempotency.run("k", { waitMs: Number.NaN }, never))).toBeInstanceOf(RangeError);
    expect(await rejection(idempotency.run("k", {}, undefined as never))).toBeInstanceOf(TypeError);
    expect(await rejection(idempotency.run("k", { fingerprint: new Map() }, never))).toBeInstanceOf(TypeError);
    expect(
      await rejection(idempotency.run("k", { signal: AbortSignal.abort(new Error("gone")) }, never)),
    ).toMatchObject({
      message: "gone",
    });
    expect(await bench.redis.dbsize()).toBe(0);
  });
});

describe("results", () => {
  it.each<[string, unknown]>([
    ["a Map", new Map()],
    ["a bigint", 1n],
    ["a nested function", { a: () => 1 }],
  ])("%s does not serialise: the key is closed with that, and nothing runs again", async (_, value) => {
    const idempotency = bench.idempotency();
    let runs = 0;
    const run = (): Promise<unknown> =>
      idempotency.run("k", () => {
        runs += 1;
        return value;
      });
    for (let call = 0; call < 2; call += 1) {
      const error = await rejection(run());
      expect(error).toBeInstanceOf(ResultNotStoredError);
      expect(error).toMatchObject({ reason: "not-serializable", effect: "possible" });
    }
    expect(runs).toBe(1);
    expect((await idempotency.inspect("k"))?.kind).toBe("failed");
  });

  it("a result beyond resultBytesMax closes the key, and one of exactly that size is stored", async () => {
    const idempotency = bench.idempotency({ resultBytesMax: 2_048 });
    expect(await rejection(idempotency.run("k", () => Buffer.alloc(2_048)))).toMatchObject({ reason: "too-large" });
    expect(await rejection(idempotency.run("k", () => 1))).toMatchObject({ reason: "too-large" });
    expect(await idempotency.run("l", () => Buffer.alloc(2_047))).toMatchObject({ stored: true });
  });

  it("two versions of the service with different codecs: the new one reads both, the old one says what it cannot read", async () => {
    const reversed: Codec = {
      id: "reversed",
      encode: (value) => Buffer.from(JSON.stringify(value)).toReversed(),
      decode: (bytes) => JSON.parse(Buffer.from(bytes.toReversed()).toString()) as unknown,
    };
    const name = uniqueName();
    const older = bench.idempotency({}, undefined, name);
    const newer = bench.idempotency({ codec: reversed }, undefined, name);
    await older.run("old", () => ({ by: "old" }));
    await newer.run("new", () => ({ by: "new" }));
    expect(await newer.run("old", () => 0)).toMatchObject({ value: { by: "old" }, replayed: true });
    const error = await rejection(older.run("new", () => 0));
    expect(error).toBeInstanceOf(ResultUnreadableError);
    expect(error).toMatchObject({ codecId: "reversed", effect: "none" });
    const bridged = bench.idempotency({ formerCodecs: [reversed] }, undefined, name);
    expect(await bridged.run("new", () => 0)).toMatchObject({ value: { by: "new" } });
    const lying = bench.idempotency({ codec: { ...jsonCodec, id: "reversed" } }, undefined, name);
    expect(await rejection(lying.run("new", () => 0))).toBeInstanceOf(ResultUnreadableError);
  });

  it("the value is what a replay would give, also on the first run", async () => {
    const at = new Date(0);
    const { value } = await bench.idempotency().run<unknown>("k", () => ({ at, nothing: undefined }));
    expect(value).toEqual({ at: "1970-01-01T00:00:00.000Z" });
  });
});

describe("errors of the handler", () => {
  it("onError store closes the key with the error, which is thrown again with its name, message and properties", async () => {
    class CardDeclinedError extends Error {
      override readonly name = "CardDeclinedError";
      readonly code = "card_declined";
      readonly detail = { left: 3 };
      readonly socket = { self: {} as unknown };
      constructor() {
        super("declined");
        this.socket.self = this.socket;
      }
    }
    const idempotency = bench.idempotency({ onError: () => "store" });
    const declined = new CardDeclinedError();
    expect(await rejection(idempotency.run("k", () => Promise.reject(declined)))).toBe(declined);
    const error = await rejection(idempotency.run("k", () => expect.unreachable()));
    expect(error).toBeInstanceOf(StoredError);
    expect(error).toMatchObject({
      name: "CardDeclinedError",
      message: "declined",
      code: "card_declined",
      detail: { left: 3 },
      replayed: true,
    });
    expect(error).not.toHaveProperty("socket");
  });

  it("onError store takes whatever is thrown", async () => {
    const idempotency = bench.idempotency({ onError: () => "store" });
    // oxlint-disable-next-line prefer-promise-reject-errors -- that is the point
    expect(await rejection(idempotency.run("k", () => Promise.reject("a text")))).toBe("a text");
    expect(await rejection(idempotency.run("k", () => 1))).toMatchObject({ name: "Error", message: "a text" });
  });

  it.each<[string, unknown, "release" | "unknown"]>([
    ["an error that proves no effect", Object.assign(new Error("x"), { effect: "none" }), "release"],
    ["any other error", new Error("x"), "release"],
    ["a thrown text", "x", "release"],
    ["an error of possible effect", Object.assign(new Error("x"), { effect: "possible" }), "unknown"],
    ["a timeout", new DOMException("x", "TimeoutError"), "unknown"],
    ["an abort", new DOMException("x", "AbortError"), "unknown"],
    ["a reset connection", Object.assign(new Error("x"), { code: "ECONNRESET" }), "unknown"],
    ["a timeout as a cause", new TypeError("fetch failed", { cause: { code: "UND_ERR_HEADERS_TIMEOUT" } }), "unknown"],
  ])("the default onError: %s", async (_, error, decision) => {
    const idempotency = bench.idempotency();
    const thrown = await rejection(idempotency.run("k", () => Promise.reject(error as Error)));
    if (decision === "release") expect(thrown).toBe(error);
    else expect(thrown).toBeInstanceOf(OutcomeUnknownError);
    expect((await idempotency.inspect("k"))?.kind).toBe(decision === "release" ? "released" : "unknown");
  });

  it("an onError that throws or says nothing known leaves the outcome unknown", async () => {
    const warnings: unknown[] = [];
    const onWarning = (warning: Error): unknown => warnings.push(warning.message);
    process.on("warning", onWarning);
    for (const onError of [() => "later" as never, () => JSON.parse("{") as never]) {
      const idempotency = bench.idempotency({ onError });
      const failing = idempotency.run("k", () => Promise.reject(new Error("y")));
      expect(await rejection(failing)).toBeInstanceOf(OutcomeUnknownError);
    }
    await pass(10);
    process.off("warning", onWarning);
    expect(warnings).not.toEqual([]);
  });

  it("skipStoring hands the value over, stores nothing and frees the key", async () => {
    const idempotency = bench.idempotency();
    const first = await idempotency.run("k", { fingerprint: 1 }, (attempt) => {
      attempt.skipStoring("none");
      return new Map();
    });
    expect(first).toEqual({ value: new Map(), replayed: false, stored: false });
    expect(await idempotency.run("k", { fingerprint: 2 }, ({ recovered }) => recovered)).toMatchObject({
      value: false,
    });
  });
});

describe("a store that is down", () => {
  it("fails closed by default: nothing runs, and the error says so", async () => {
    const { proxy, redis } = await bench.proxied();
    await proxy.refuse();
    proxy.reset();
    const idempotency = bench.idempotency({ commandTimeoutMs: 100 }, redis);
    const error = await rejection(idempotency.run("k", () => expect.unreachable()));
    expect(error).toBeInstanceOf(RedisUnavailableError);
    expect(error).toMatchObject({ effect: "none" });
  });

  it("fails open by explicit choice: the handler runs unguarded, and cannot pass for the first attempt", async () => {
    const { proxy, redis } = await bench.proxied();
    await proxy.refuse();
    proxy.reset();
    const events: string[] = [];
    const options = {
      commandTimeoutMs: 100,
      whenUnreachable: "open",
      onEvent: ({ type }: IdempotencyEvent) => events.push(type),
    };
    const idempotency = bench.idempotency(options as object, redis);
    let attempt: Attempt | undefined;
    const result = await idempotency.run("k", (given) => {
      attempt = given;
      given.assertHeld();
      return new Date(0);
    });
    expect(result).toEqual({ value: "1970-01-01T00:00:00.000Z", replayed: false, stored: false });
    expect(attempt).toMatchObject({ guarded: false, recovered: true, token: 0, number: 1 });
    expect(attempt?.remainingMs()).toBe(Infinity);
    expect(attempt?.signal.aborted).toBe(false);
    expect(events).toEqual(["unguarded"]);
    expect(attempt?.downstreamKey).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });
});

describe("a reply that is lost", () => {
  const lost = /^EVALSHA|^EVAL /i;

  it("I9 of a claim: the attempt runs once and is not unknown, with the client's resending and without it", async () => {
    for (const options of [{}, { autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 }]) {
      const { proxy, redis } = await bench.proxied(options);
      const idempotency = bench.idempotency({ commandTimeoutMs: 300 }, redis);
      await idempotency.inspect("k");
      proxy.swallowReply((words) => lost.test(words.join(" ")) && words.join(" ").includes("recover"));
      let runs = 0;
      expect(await idempotency.run("k", () => (runs += 1))).toEqual({ value: 1, replayed: false, stored: true });
      expect((await idempotency.inspect("k"))?.attempts).toBe(1);
    }
  });

  it("I9 of a complete: it is repeated, and the caller hears its result", async () => {
    for (const options of [{}, { autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 }]) {
      const { proxy, redis } = await bench.proxied(options);
      const idempotency = bench.idempotency({ commandTimeoutMs: 300 }, redis);
      const rule = proxy.swallowReply((words) => words.includes("completed"), { times: 2 });
      expect(await idempotency.run("k", () => "done")).toEqual({ value: "done", replayed: false, stored: true });
      expect(rule.hits).toBe(2);
      expect(await idempotency.run("k", () => "again")).toMatchObject({ value: "done", replayed: true });
    }
  });

  it("I9 of every complete: the one caller hears unknown, and the next one the result", async () => {
    const { proxy, redis } = await bench.proxied({ autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 });
    const name = uniqueName();
    const events: IdempotencyEvent[] = [];
    const idempotency = bench.idempotency(
      { commandTimeoutMs: 200, onEvent: (event) => events.push(event) },
      redis,
      name,
    );
    proxy.swallowReply((words) => words.includes("completed"), { times: Infinity });
    const error = await rejection(idempotency.run("k", () => "done"));
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    expect(error).toMatchObject({ operationId: "k", effect: "possible" });
    expect(events.filter(({ type }) => type === "unknown")).toHaveLength(1);
    expect(await bench.idempotency({}, undefined, name).run("k", () => "again")).toMatchObject({
      value: "done",
      replayed: true,
    });
  });

  it("I9 counter-test: a complete that is sent once is unknown after one lost reply", async () => {
    const { proxy, redis } = await bench.proxied({ autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 });
    const key = uniqueName();
    proxy.swallowReply("SET");
    const sent = redis.set(key, "done");
    const outcome = await Promise.race([rejection(sent), pass(200).then(() => "no answer")]);
    expect(outcome === "no answer" || outcome instanceof Error).toBe(true);
    expect(await bench.redis.get(key)).toBe("done");
  });

  it("of a release: the handler's error is what the caller hears, and the key is free", async () => {
    const { proxy, redis } = await bench.proxied();
    const idempotency = bench.idempotency({ commandTimeoutMs: 300 }, redis);
    proxy.swallowReply((words) => words.includes("possible"));
    expect(await rejection(idempotency.run("k", () => Promise.reject(new Error("mine"))))).toMatchObject({
      message: "mine",
    });
    expect((await idempotency.inspect("k"))?.kind).toBe("released");
  });

  it("of a renewal: the lease is renewed again before it ends", async () => {
    const { proxy, redis } = await bench.proxied();
    const events: string[] = [];
    const idempotency = bench.idempotency({ leaseMs: 600, onEvent: ({ type }) => events.push(type) }, redis);
    let lostOne = false;
    const result = await idempotency.run("k", async ({ signal }) => {
      const rule = proxy.swallowReply((words) => lost.test(words.join(" ")));
      await rule.hit;
      lostOne = true;
      await pass(700);
      return signal.aborted;
    });
    expect(lostOne).toBe(true);
    expect(result).toMatchObject({ value: false, stored: true });
  });

  it("of a resolve and a forget: the operation id gets the first answer", async () => {
    const { proxy, redis } = await bench.proxied({ autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 });
    const idempotency = bench.idempotency(
      { commandTimeoutMs: 200, onUnknown: "hold", onError: () => "unknown" },
      redis,
    );
    await rejection(idempotency.run("k", () => Promise.reject(new Error("?"))));
    proxy.swallowReply(/op-1/);
    const call = (): Promise<unknown> =>
      idempotency.resolve("k", { kind: "completed", value: 1 }, { operationId: "op-1" });
    expect(await rejection(call())).toMatchObject({ name: "OutcomeUnknownError", operationId: "op-1" });
    expect(await call()).toEqual({ kind: "resolved" });
    proxy.swallowReply(/op-2/);
    const forget = (): Promise<unknown> => idempotency.forget("k", { operationId: "op-2" });
    expect(await rejection(forget())).toMatchObject({ name: "OutcomeUnknownError", operationId: "op-2" });
    expect(await forget()).toEqual({ kind: "forgotten" });
  });

  it("I9 without a fault no outcome is unknown, and nothing is left unfinished", async () => {
    const events: string[] = [];
    const idempotency = bench.idempotency({ waitMs: 5_000, onEvent: ({ type }) => events.push(type) });
    await Promise.all(
      Array.from({ length: 200 }, (_, index) => idempotency.run(`k${index % 50}`, () => pass(index % 7))),
    );
    expect(events.filter((type) => type === "unknown")).toEqual([]);
    expect(events.filter((type) => type === "stored")).toHaveLength(50);
    expect(await all(idempotency.stuck({ olderThanMs: 0 }))).toEqual([]);
  });
});

describe("a worker that is paused past its lease", () => {
  /** Runs a worker whose lease lapses without a successor. */
  async function lapsed(end: (late: ReturnType<typeof gate<string>>) => void): Promise<{
    name: string;
    run: Promise<unknown>;
    attempt: Attempt;
  }> {
    const name = uniqueName();
    const { proxy, redis } = await bench.proxied();
    const idempotency = bench.idempotency({ leaseMs: 100, commandTimeoutMs: 200 }, redis, name);
    const late = gate<string>();
    let attempt: Attempt | undefined;
    const run = idempotency.run("k", (given) => {
      attempt = given;
      return late.handler();
    });
    run.catch(() => undefined);
    await late.entered;
    proxy.blackhole();
    const look = bench.idempotency({}, undefined, name);
    await pollUntil("the lease has passed", async () => (await look.inspect("k"))?.kind === "lapsed");
    await proxy.heal({ held: "drop" });
    end(late);
    return { name, run, attempt: attempt as Attempt };
  }

  it("that completes before anybody took over is believed: nothing was done twice", async () => {
    const { name, run, attempt } = await lapsed((late) => late.open("late but first"));
    expect(await run).toMatchObject({ value: "late but first", stored: true });
    expect(attempt.signal.aborted).toBe(true);
    expect(await bench.idempotency({}, undefined, name).run("k", () => "second")).toMatchObject({
      value: "late but first",
    });
  });

  it("that throws before anybody took over frees the key", async () => {
    const { name, run } = await lapsed((late) => late.fail(new Error("mine")));
    expect(await rejection(run)).toMatchObject({ message: "mine" });
    expect(await bench.idempotency({}, undefined, name).run("k", ({ recovered }) => recovered)).toMatchObject({
      value: true,
    });
  });

  it("that asks still hears that it lost its key, since another may run", async () => {
    const { run, attempt } = await lapsed((late) => late.open("x"));
    expect(() => attempt.assertHeld()).toThrow(AttemptLostError);
    await run;
  });
});

describe("Redis forgets", () => {
  it("flushed mid-run: the running attempt still stores its result", async () => {
    const idempotency = bench.idempotency();
    const first = gate<string>();
    const running = idempotency.run("k", { fingerprint: 1 }, first.handler);
    await first.entered;
    await bench.redis.flushall();
    first.open("kept");
    expect(await running).toMatchObject({ value: "kept", stored: true });
    expect(await idempotency.run("k", { fingerprint: 1 }, () => "again")).toMatchObject({
      value: "kept",
      replayed: true,
    });
  });

  it("flushed mid-run with a successor: one result stands, the other caller is told, and the token shows who is stale", async () => {
    const idempotency = bench.idempotency({ leaseMs: 60_000 });
    const first = gate<string>();
    const second = gate<string>();
    const tokens: number[] = [];
    const start = (each: ReturnType<typeof gate<string>>): Promise<unknown> =>
      idempotency.run("k", ({ token }) => {
        tokens.push(token);
        return each.handler();
      });
    const one = start(first);
    one.catch(() => undefined);
    await first.entered;
    await bench.redis.flushall();
    const two = start(second);
    await second.entered;
    expect(tokens[1]).toBeGreaterThan(tokens[0] ?? Infinity);
    first.open("one");
    expect(await rejection(one)).toBeInstanceOf(AttemptSupersededError);
    second.open("two");
    expect(await two).toMatchObject({ value: "two" });
  });

  it("flushed mid-run: a failing attempt fails as it would have", async () => {
    const idempotency = bench.idempotency();
    for (const error of [new Error("plain"), new DOMException("x", "TimeoutError")]) {
      const first = gate<string>();
      const running = idempotency.run("k", first.handler);
      running.catch(() => undefined);
      await first.entered;
      await bench.redis.flushall();
      first.fail(error);
      const thrown = await rejection(running);
      expect(thrown === error || thrown instanceof OutcomeUnknownError).toBe(true);
    }
  });

  it("scripts flushed: calls go on", async () => {
    const idempotency = bench.idempotency();
    await idempotency.run("k", () => 1);
    await bench.redis.script("FLUSH");
    expect(await idempotency.run("k", () => 2)).toMatchObject({ value: 1, replayed: true });
  });
});

describe("operators", () => {
  it("stuck lists what has started and not ended, dead or alive, and nothing else", async () => {
    const name = uniqueName();
    const idempotency = bench.idempotency({}, undefined, name);
    await idempotency.run("done", () => 1);
    await rejection(idempotency.run("freed", () => Promise.reject(new Error("x"))));
    const held = bench.idempotency({ onUnknown: "hold", onError: () => "unknown" }, undefined, name);
    await rejection(held.run({ key: "held:{x}%", tenant: "t:1" }, () => Promise.reject(new Error("?"))));
    const alive = gate<number>();
    const running = idempotency.run("alive", alive.handler);
    await alive.entered;
    const list = await all(idempotency.stuck({ olderThanMs: 0 }));
    expect(
      list.map(({ key, tenant, kind }) => ({ key, tenant, kind })).toSorted((a, b) => (a.key < b.key ? -1 : 1)),
    ).toEqual([
      { key: "alive", tenant: undefined, kind: "running" },
      { key: "held:{x}%", tenant: "t:1", kind: "unknown" },
    ]);
    expect(await all(idempotency.stuck())).toEqual([]);
    alive.open(1);
    await running;
  });

  it("stuck pages through many keys, each once, and drops entries whose record is gone", async () => {
    const idempotency = bench.idempotency({ onUnknown: "hold", onError: () => "unknown" });
    const keys = Array.from({ length: 700 }, (_, index) => `k${index}`);
    await Promise.all(keys.map((key) => rejection(idempotency.run(key, () => Promise.reject(new Error("?"))))));
    const listed = async (): Promise<string[]> =>
      (await all(idempotency.stuck({ olderThanMs: 0 }))).map(({ key }) => key).toSorted();
    expect(await listed()).toEqual(keys.toSorted());
    const records = await bench.redis.keys("*:record:*");
    await bench.redis.del(...records.slice(0, 300));
    expect(await listed()).toHaveLength(400);
    const indexes = await bench.redis.keys("*:held");
    const counts = await Promise.all(indexes.map((index) => bench.redis.zcard(index)));
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(400);
  });

  it("resolve answers what it cannot settle, and settles as it is told", async () => {
    const idempotency = bench.idempotency({ onUnknown: "hold", onError: () => "unknown" });
    expect(await idempotency.resolve("none", { kind: "released" })).toEqual({ kind: "absent" });
    const first = gate<number>();
    const running = idempotency.run("k", first.handler);
    await first.entered;
    expect(await idempotency.resolve("k", { kind: "released" })).toMatchObject({ kind: "in-progress" });
    first.open(1);
    await running;
    expect(await idempotency.resolve("k", { kind: "released" })).toEqual({ kind: "already-completed" });
    await rejection(idempotency.run("f", () => Promise.reject(new Error("?"))));
    expect(await idempotency.resolve("f", { kind: "failed", error: new RangeError("no funds") })).toEqual({
      kind: "resolved",
    });
    expect(await rejection(idempotency.run("f", () => 1))).toMatchObject({ name: "RangeError", message: "no funds" });
    expect(await idempotency.resolve("f", { kind: "released" })).toEqual({ kind: "already-failed" });
    expect(await rejection(idempotency.resolve("f", { kind: "nothing" } as never))).toBeInstanceOf(TypeError);
  });

  it("a duplicate that waits is woken by an operator's decision", async () => {
    const name = uniqueName();
    const idempotency = bench.idempotency({ leaseMs: 60_000, waitMs: 10_000 }, undefined, name);
    const first = gate<string>();
    const running = idempotency.run("k", first.handler);
    running.catch(() => undefined);
    await first.entered;
    const waiting = idempotency.run("k", ({ recovered }) => recovered);
    await pass(50);
    await bench.idempotency({}, bench.client(), name).forget("k");
    expect(await waiting).toMatchObject({ value: true, replayed: false });
    first.open("late");
    await rejection(running);
  });
});

describe("closing", () => {
  it("ends waiting with a ClosedError, refuses further calls, and lets attempts end and be stored", async () => {
    const name = uniqueName();
    const idempotency = bench.idempotency({}, undefined, name);
    const first = gate<string>();
    const running = idempotency.run("k", first.handler);
    await first.entered;
    const waiting = rejection(idempotency.run("k", { waitMs: 60_000 }, () => "x"));
    await pass(20);
    await idempotency.close();
    expect(await waiting).toBeInstanceOf(ClosedError);
    expect(await rejection(idempotency.run("k", () => 1))).toBeInstanceOf(ClosedError);
    expect(await rejection(idempotency.forget("k"))).toBeInstanceOf(ClosedError);
    expect(() => idempotency.stuck()).toThrow(ClosedError);
    first.open("kept");
    expect(await running).toMatchObject({ value: "kept" });
    expect(await bench.idempotency({}, undefined, name).run("k", () => 2)).toMatchObject({ value: "kept" });
  });

  it("waiting gives up at the deadline of the work that asks", async () => {
    const { withAmbientDeadline } = await import("@holdfast/core");
    const idempotency = bench.idempotency({ waitMs: 60_000 });
    const first = gate<number>();
    const running = idempotency.run("k", first.handler);
    await first.entered;
    const startedMs = performance.now();
    expect(await rejection(withAmbientDeadline(100, () => idempotency.run("k", () => 1)))).toBeInstanceOf(
      InProgressError,
    );
    expect(performance.now() - startedMs).toBeLessThan(2_000);
    first.open(1);
    await running;
  });
});
