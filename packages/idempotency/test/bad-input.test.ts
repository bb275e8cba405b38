/** Bad input, results that cannot be kept, and errors of the handler. */
import { describe, expect, it } from "vitest";
import {
  Idempotency,
  jsonCodec,
  OutcomeUnknownError,
  ResultNotStoredError,
  ResultUnreadableError,
  StoredError,
} from "../src/index.ts";
import type { Codec } from "../src/index.ts";
import { pass, rejection, uniqueName, useBench } from "./fixture.ts";

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
    ["an abort of axios", Object.assign(new Error("x"), { name: "CanceledError", code: "ERR_CANCELED" }), "unknown"],
    ["a time limit of HTTP", Object.assign(new Error("x"), { statusCode: 504 }), "unknown"],
    ["an answer that is one", Object.assign(new Error("x"), { response: { status: 408 } }), "unknown"],
    ["an answer that is none", Object.assign(new Error("x"), { response: { status: 502 } }), "release"],
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

  it.each([undefined, "no", true])(
    "I8 skipStoring takes no effect %j: the handler has thrown, and the next attempt is told",
    async (effect) => {
      const idempotency = bench.idempotency();
      const first = idempotency.run("k", (attempt) => attempt.skipStoring(effect as "none"));
      expect(await rejection(first)).toMatchObject({
        name: "TypeError",
        message: expect.stringMatching(/effect must be one of "none", "possible"/u) as string,
      });
      expect(await idempotency.run("k", ({ recovered }) => recovered)).toMatchObject({ value: true, replayed: false });
    },
  );
});
