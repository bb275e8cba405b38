import { ManualClock } from "@holdfast/testkit";
import { beforeEach, describe, expect, it } from "vitest";
import { Bulkhead } from "../src/index.ts";
import type { BulkheadOptions } from "../src/index.ts";
import { turn, watch } from "./work.ts";

let clock: ManualClock;

beforeEach(() => {
  clock = new ManualClock();
});

function bulkhead(options: BulkheadOptions = {}): Bulkhead {
  return new Bulkhead("payments", { concurrencyMax: 2, timeoutMs: 500, clock, ...options });
}

describe("bad input", () => {
  it.each([
    [{ concurrencyMax: 0 }, RangeError],
    [{ concurrencyMax: 1.5 }, RangeError],
    [{ concurrencyMax: Number.NaN }, RangeError],
    [{ concurrencyMax: Infinity }, RangeError],
    [{ concurrencyMax: "5" }, TypeError],
    [{ queueMax: -1 }, RangeError],
    [{ queueMax: 0.5 }, RangeError],
    [{ queueMax: Number.NaN }, RangeError],
    [{ queueMax: Infinity }, RangeError],
    [{ queue: "random" }, TypeError],
    [{ timeoutMs: 0 }, RangeError],
    [{ timeoutMs: 0.5 }, RangeError],
    [{ timeoutMs: Number.NaN }, RangeError],
    [{ timeoutMs: Infinity }, RangeError],
    [{ zombieMaxMs: 0 }, RangeError],
    [{ zombieMaxMs: Number.NaN }, RangeError],
    [{ adaptive: { concurrencyMin: 20 } }, RangeError],
    [{ adaptive: { concurrencyMin: 0 } }, RangeError],
    [{ adaptive: { concurrencyMax: Infinity } }, RangeError],
    [{ adaptive: { concurrencyMax: 1 } }, RangeError],
    [{ breaker: { failurePercent: 0 } }, RangeError],
    [{ breaker: { failurePercent: 101 } }, RangeError],
    [{ breaker: { failurePercent: Number.NaN } }, RangeError],
    [{ breaker: { callsMin: 0 } }, RangeError],
    [{ breaker: { windowMs: Infinity } }, RangeError],
    [{ breaker: { openMs: 0 } }, RangeError],
    [{ breaker: { conclusiveAfterMs: 0 } }, RangeError],
    [{ breaker: { slowPercent: 50 } }, RangeError],
    [{ breaker: { probes: 0 } }, RangeError],
    [{ retry: { attemptsMax: 1 } }, RangeError],
    [{ retry: { when: 1 } }, TypeError],
    [{ classify: "x" }, TypeError],
    [null, TypeError],
  ])("%j is refused by the constructor", (options, kind) => {
    expect(() => new Bulkhead("x", options as never)).toThrow(kind);
  });

  it("options are taken over, not changed", () => {
    const breaker = Object.freeze({ callsMin: 5 });
    const options = Object.freeze({ concurrencyMax: 1, queueMax: undefined, breaker, clock, adaptive: undefined });
    expect(() => new Bulkhead("x", options)).not.toThrow();
    expect(breaker).toEqual({ callsMin: 5 });
  });

  it("a call's own options are checked at the call", () => {
    const one = bulkhead();
    expect(() => one.run({ timeoutMs: 0 }, () => 1)).toThrow(RangeError);
    expect(() => one.run({ timeoutMs: -1 }, () => 1)).toThrow(RangeError);
    expect(() => one.run({ timeoutMs: 0.5 }, () => 1)).toThrow(RangeError);
    expect(() => one.run({ timeoutMs: Number.NaN }, () => 1)).toThrow(RangeError);
    expect(() => one.run({ timeoutMs: Infinity }, () => 1)).toThrow(RangeError);
    expect(() => one.run({ signal: {} as never }, () => 1)).toThrow(TypeError);
    expect(() => one.run({}, 1 as never)).toThrow(TypeError);
    expect(() => one.run(null as never, () => 1)).toThrow(TypeError);
  });

  it("B1 a limit that is no number does not lift the limit", async () => {
    const one = bulkhead();
    for (const limit of [Number.NaN, Infinity, 1.5, -1]) expect(() => one.setLimit(limit, "test")).toThrow(RangeError);
    expect(one.snapshot().limit).toBe(2);
    one.setLimit(0, "test");
    const waiting = watch(one.run(() => 1));
    await turn();
    expect(waiting.done).toBe(false);
    one.setLimit(1, "test");
    await turn();
    expect(waiting.value).toBe(1);
  });

  it("options in the middle may be left out or undefined", async () => {
    expect(await bulkhead().run(undefined, () => 1)).toBe(1);
    expect(() => bulkhead().run(undefined, undefined as never)).toThrow(TypeError);
  });
});
