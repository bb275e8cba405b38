/** Checks of what callers hand over: each message names the field, the allowed range and the value got. */
import { describe, expect, it } from "vitest";
import {
  backoffMs,
  callback,
  integer,
  integerOr,
  leaseRangeMs,
  oneOf,
  optionsObject,
  resolveBackoff,
  resolveCommonOptions,
  signal,
  systemRandom,
  text,
  type Random,
} from "../src/index.ts";

const cyclic: Record<string, unknown> = {};
cyclic["self"] = cyclic;

describe("a check names the field, what is allowed, and what it got", () => {
  const range = { min: 1, max: 10 };

  it.each<[string, () => unknown, typeof TypeError | typeof RangeError, string]>([
    [
      "text for a number",
      () => integer("ttlMs", "5", range),
      TypeError,
      'ttlMs must be a whole number from 1 to 10, got "5"',
    ],
    [
      "NaN",
      () => integer("ttlMs", Number.NaN, range),
      RangeError,
      "ttlMs must be a whole number from 1 to 10, got NaN",
    ],
    ["a fraction", () => integer("ttlMs", 1.5, range), RangeError, "got 1.5"],
    ["too little", () => integer("ttlMs", 0, range), RangeError, "got 0"],
    ["a negative", () => integer("ttlMs", -1, range), RangeError, "got -1"],
    ["too much", () => integer("ttlMs", 11, range), RangeError, "got 11"],
    ["Infinity", () => integer("ttlMs", Infinity, range), RangeError, "got Infinity"],
    ["a bigint", () => integer("ttlMs", 5n, range), TypeError, "got 5"],
    ["null", () => integerOr(5, "ttlMs", null, range), TypeError, "got null"],
    ["a cyclic object", () => integer("ttlMs", cyclic, range), TypeError, "got an object"],
    ["a symbol", () => text("name", Symbol("x")), TypeError, "name must be a string of 1 to 256 bytes, got Symbol(x)"],
    ["no text", () => text("name", ""), RangeError, "name must be a string of 1 to 256 bytes, got 0 bytes"],
    ["too long a text, in bytes", () => text("name", "é".repeat(129)), RangeError, "got 258 bytes"],
    [
      "a lone surrogate",
      () => text("name", "a\ud800"),
      RangeError,
      "name must be well-formed Unicode, got a lone surrogate",
    ],
    [
      "an unknown word",
      () => oneOf("queue", "lifo!", ["fifo", "lifo"]),
      TypeError,
      'queue must be one of "fifo", "lifo", got "lifo!"',
    ],
    ["no function", () => callback("fn", "x"), TypeError, 'fn must be a function, got "x"'],
    ["no signal", () => signal("signal", {}), TypeError, "signal must be an AbortSignal, got an object"],
    ["a list for options", () => optionsObject("options", []), TypeError, "options must be an object, got an array"],
    ["null for options", () => optionsObject("options", null), TypeError, "options must be an object, got null"],
    ["a long text is cut", () => oneOf("queue", "x".repeat(500), ["a"]), TypeError, `got "${"x".repeat(64)}…"`],
  ])("%s", (_, check, kind, message) => {
    expect(check).toThrow(kind);
    expect(check).toThrow(message);
  });

  it("what is allowed passes through", () => {
    expect(integer("a", 10, range)).toBe(10);
    expect(integerOr(5, "a", undefined, range)).toBe(5);
    expect(integerOr(5, "a", 1, range)).toBe(1);
    expect(text("a", "é".repeat(128))).toHaveLength(128);
    expect(oneOf("a", "x", ["x", "y"])).toBe("x");
    expect(() => signal("a", undefined)).not.toThrow();
    expect(() => signal("a", AbortSignal.abort())).not.toThrow();
    expect(leaseRangeMs).toEqual({ min: 50, max: 86_400_000 });
  });
});

describe("common options", () => {
  it("are complete, and take explicit undefined for each", () => {
    const resolved = resolveCommonOptions({});
    expect(resolved).toMatchObject({
      prefix: "holdfast",
      commandTimeoutMs: 2_000,
      durability: undefined,
      onEvent: undefined,
    });
    const explicit = resolveCommonOptions({
      prefix: undefined,
      commandTimeoutMs: undefined,
      durability: undefined,
      clock: undefined,
      random: undefined,
      onEvent: undefined,
    });
    expect(explicit).toEqual(resolved);
  });

  it("are copied, so that a later change of the caller's object changes nothing", () => {
    const durability = { replicas: 1, timeoutMs: 100 };
    const resolved = resolveCommonOptions({ durability });
    durability.replicas = 2;
    expect(resolved.durability).toEqual({ replicas: 1, timeoutMs: 100 });
  });

  it.each<[string, object, string]>([
    ["no object", undefined as unknown as object, "options must be an object, got undefined"],
    ["a brace in the prefix", { prefix: "a{b" }, 'prefix must not contain { or }, got "a{b"'],
    ["no prefix", { prefix: "" }, "prefix must be a string of 1 to 256 bytes"],
    ["null for the prefix", { prefix: null }, "prefix must be a string of 1 to 256 bytes, got null"],
    [
      "too short a timeout",
      { commandTimeoutMs: 9 },
      "commandTimeoutMs must be a whole number from 10 to 600000, got 9",
    ],
    [
      "no replicas",
      { durability: { replicas: 0, timeoutMs: 100 } },
      "durability.replicas must be a whole number from 1 to 100",
    ],
    [
      "no wait",
      { durability: { replicas: 1 } },
      "durability.timeoutMs must be a whole number from 10 to 600000, got undefined",
    ],
    ["null for durability", { durability: null }, "durability must be an object, got null"],
    ["a clock that is none", { clock: { monotonicMs: () => 0 } }, "clock.wallMs must be a function, got undefined"],
    ["a random that is none", { random: Math.random }, "random must be an object, got"],
    ["an observer that is none", { onEvent: 5 }, "onEvent must be a function, got 5"],
  ])("refuse %s", (_, options, message) => {
    expect(() => resolveCommonOptions(options)).toThrow(message);
  });
});

describe("a backoff", () => {
  const never: Random = { id: () => "x", unit: () => 0 };
  const almostOne: Random = { id: () => "x", unit: () => 0.999_999 };

  it("doubles up to its cap, for any number of attempts", () => {
    const backoff = resolveBackoff({ baseMs: 100, delayMaxMs: 1_000, jitter: 0 });
    expect([1, 2, 3, 4, 5, 50, 5_000].map((attempt) => backoffMs(backoff, attempt, never))).toEqual([
      100, 200, 400, 800, 1_000, 1_000, 1_000,
    ]);
  });

  it("leaves the jitter's part to chance and never exceeds the cap", () => {
    const backoff = resolveBackoff({ baseMs: 1_000, jitter: 0.5 });
    expect(backoffMs(backoff, 1, never)).toBe(1_000);
    expect(backoffMs(backoff, 1, almostOne)).toBe(500);
    const full = resolveBackoff({ baseMs: 1_000, delayMaxMs: 1_000, jitter: 1 });
    for (let attempt = 1; attempt < 200; attempt += 1) {
      const delayMs = backoffMs(full, attempt, systemRandom);
      expect(delayMs).toBeGreaterThanOrEqual(0);
      expect(delayMs).toBeLessThanOrEqual(1_000);
    }
  });

  it("has defaults and takes explicit undefined", () => {
    expect(resolveBackoff()).toEqual({ baseMs: 1_000, delayMaxMs: 300_000, jitter: 0.5 });
    expect(resolveBackoff({ baseMs: undefined, delayMaxMs: undefined, jitter: undefined })).toEqual(resolveBackoff());
    const defaults = { baseMs: 20, delayMaxMs: 500 };
    expect(resolveBackoff({ baseMs: undefined, delayMaxMs: 900 }, defaults)).toMatchObject({
      baseMs: 20,
      delayMaxMs: 900,
    });
    expect(resolveBackoff(undefined, defaults)).toMatchObject(defaults);
  });

  it.each<[object, string]>([
    [{ jitter: 1.1 }, "backoff.jitter must be a number from 0 to 1, got 1.1"],
    [{ jitter: Number.NaN }, "got NaN"],
    [{ jitter: "1" }, "backoff.jitter must be a number from 0 to 1, got 1"],
    [{ baseMs: -1 }, "backoff.baseMs must be a whole number from 0 to 86400000, got -1"],
    [{ delayMaxMs: 1.5 }, "backoff.delayMaxMs must be a whole number"],
    [5 as unknown as object, "backoff must be an object, got 5"],
  ])("refuses %j", (options, message) => {
    expect(() => resolveBackoff(options)).toThrow(message);
  });
});

describe("chance", () => {
  it("makes ids that differ and numbers below one", () => {
    const ids = new Set(Array.from({ length: 10_000 }, () => systemRandom.id()));
    expect(ids.size).toBe(10_000);
    for (const id of ids) expect(id).toMatch(/^[\w-]{16}$/);
    const units = Array.from({ length: 1_000 }, () => systemRandom.unit());
    expect(units.every((unit) => unit >= 0 && unit < 1)).toBe(true);
    expect(new Set(units).size).toBeGreaterThan(990);
  });
});
