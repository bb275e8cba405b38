import { getEventListeners } from "node:events";
import { ManualClock } from "@holdfast/testkit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Bulkhead, CallTimeoutError, DrainedError, ReentrantCallError } from "../src/index.ts";
import type { BulkheadEvent, BulkheadOptions } from "../src/index.ts";
import { hang, handWork, turn, watch } from "./work.ts";

let clock: ManualClock;
const unhandled: unknown[] = [];
const onUnhandled = (reason: unknown): void => {
  unhandled.push(reason);
};

beforeEach(() => {
  clock = new ManualClock();
  unhandled.length = 0;
  process.on("unhandledRejection", onUnhandled);
});

afterEach(() => {
  process.off("unhandledRejection", onUnhandled);
  expect(unhandled).toEqual([]);
});

function bulkhead(options: BulkheadOptions = {}): Bulkhead {
  return new Bulkhead("payments", { concurrencyMax: 2, timeoutMs: 500, clock, ...options });
}

/** Teaches the bulkhead how long the dependency takes. */
async function answersIn(one: Bulkhead, durationMs: number, calls = 8): Promise<void> {
  for (let call = 0; call < calls; call += 1) {
    const work = handWork();
    const run = one.run(() => work.promise);
    await clock.advance(durationMs);
    work.resolve("ok");
    await run;
  }
  await clock.advance(50);
}

describe("re-entrant calls", () => {
  it("a call that would wait for its own caller's permit is refused with a clear error", async () => {
    const one = bulkhead({ concurrencyMax: 1 });
    const run = one.run(() => one.run(() => "inner"));
    await expect(run).rejects.toBeInstanceOf(ReentrantCallError);
    await expect(run).rejects.toMatchObject({ effect: "none", code: "BULKHEAD_REENTRANT" });
  });

  it("callers that hold all permits and wait for each other are freed by refusing one of them", async () => {
    const one = bulkhead({ concurrencyMax: 3 });
    const gate = handWork();
    const runs = [1, 2, 3].map((name) =>
      one
        .run(async () => {
          await gate.promise;
          return one.run(() => `inner ${name}`);
        })
        .catch((error: unknown) => error),
    );
    await turn();
    gate.resolve("");
    const results = await Promise.all(runs);
    expect(results.filter((result) => result instanceof ReentrantCallError)).toHaveLength(1);
    expect(results.filter((result) => typeof result === "string")).toHaveLength(2);
  });

  it("is found through a bulkhead in between, and allowed while a permit is free", async () => {
    const one = bulkhead({ concurrencyMax: 1 });
    const between = bulkhead({ concurrencyMax: 1 });
    await expect(one.run(() => between.run(() => one.run(() => 1)))).rejects.toBeInstanceOf(ReentrantCallError);
    const wide = bulkhead({ concurrencyMax: 2 });
    await expect(wide.run(() => wide.run(() => "inner"))).resolves.toBe("inner");
  });

  it("work that a call leaves behind may call again once the call is over", async () => {
    const one = bulkhead({ concurrencyMax: 1 });
    const gate = handWork();
    let later: Promise<unknown> | undefined;
    await one.run(() => {
      later = gate.promise.then(async () => one.run(() => "second"));
    });
    const busy = handWork();
    const other = one.run(() => busy.promise);
    gate.resolve("");
    await turn();
    busy.resolve("");
    await other;
    expect(await later).toBe("second");
  });
});

describe("a call", () => {
  it("passes values, errors, synchronous throws and plain values on", async () => {
    const one = bulkhead();
    const failure = new Error("no");
    await expect(one.run(() => Promise.resolve(1))).resolves.toBe(1);
    await expect(one.run(() => 2)).resolves.toBe(2);
    await expect(one.run(() => undefined)).resolves.toBeUndefined();
    await expect(one.run(() => Promise.reject(failure))).rejects.toBe(failure);
    await expect(
      one.run(() => {
        throw failure;
      }),
    ).rejects.toBe(failure);
    expect(one.snapshot()).toMatchObject({ inFlight: 0, outcomes: { success: 3, failed: 2 } });
  });

  it("tells how late it was dispatched when it times out, and its signal carries the same error", async () => {
    const one = bulkhead({ concurrencyMax: 1 });
    await answersIn(one, 10);
    const first = handWork();
    const run = one.run({ timeoutMs: 2_000 }, () => first.promise);
    let reason: unknown;
    const second = watch(
      one.run(({ signal }) => {
        signal.addEventListener("abort", () => (reason = signal.reason));
        return hang();
      }),
    );
    await clock.advance(300);
    first.resolve("");
    await run;
    await clock.advance(200);
    expect(second.error).toMatchObject({
      name: "CallTimeoutError",
      timeoutMs: 500,
      dispatchedAfterMs: 300,
      effect: "possible",
    });
    expect(reason).toBe(second.error);
    await clock.advance(70_000);
  });

  it("a signal that is read after the timeout has aborted", async () => {
    const one = bulkhead();
    let late: AbortSignal | undefined;
    const gate = handWork();
    void watch(
      one.run(async (context) => {
        await gate.promise;
        late = context.signal;
      }),
    );
    await clock.advance(500);
    gate.resolve("");
    await turn();
    expect(late?.aborted).toBe(true);
    expect(late?.reason).toBeInstanceOf(CallTimeoutError);
  });

  it("knows the time it has left, without this", async () => {
    const one = bulkhead();
    const left: number[] = [];
    const gate = handWork();
    const run = one.run(async ({ remainingMs }) => {
      left.push(remainingMs());
      await gate.promise;
      left.push(remainingMs());
    });
    await clock.advance(120);
    gate.resolve("");
    await run;
    expect(left).toEqual([500, 380]);
  });

  it("with a signal that had aborted is not dispatched", async () => {
    const one = bulkhead();
    const reason = new Error("gone");
    await expect(one.run({ signal: AbortSignal.abort(reason) }, () => 1)).rejects.toBe(reason);
    expect(one.snapshot().outcomes).toMatchObject({ cancelled: 1, success: 0 });
  });

  it("a thenable that calls back twice counts once", async () => {
    const one = bulkhead();
    const twice = {
      // oxlint-disable-next-line unicorn/no-thenable
      then(onValue: (value: string) => void): void {
        onValue("once");
        onValue("twice");
      },
    };
    await expect(one.run(() => twice as unknown as Promise<string>)).resolves.toBe("once");
    await turn();
    expect(one.snapshot()).toMatchObject({ inFlight: 0, outcomes: { success: 1 } });
  });

  it("events tell waiting and running apart", async () => {
    const events: BulkheadEvent[] = [];
    const one = bulkhead({ concurrencyMax: 1, onEvent: (event) => events.push(event) });
    const first = handWork();
    const second = handWork();
    const runs = [one.run(() => first.promise), one.run(() => second.promise)];
    await clock.advance(30);
    first.resolve("");
    await clock.advance(40);
    second.resolve("");
    await Promise.all(runs);
    expect(events).toEqual([
      { type: "call", bulkhead: "payments", outcome: "success", waitMs: 0, runMs: 30 },
      { type: "call", bulkhead: "payments", outcome: "success", waitMs: 30, runMs: 40 },
    ]);
  });

  it("a wall clock that is stepped changes nothing", async () => {
    const one = bulkhead();
    const late = watch(one.run(hang));
    clock.stepWall(3_600_000);
    await clock.advance(499);
    expect(late.done).toBe(false);
    clock.stepWall(-7_200_000);
    await clock.advance(1);
    expect(late.error).toBeInstanceOf(CallTimeoutError);
    await clock.advance(70_000);
  });
});

describe("snapshot and drain", () => {
  it("says how many permits the load needs", async () => {
    const one = bulkhead({ concurrencyMax: 12, queueMax: 0 });
    for (let call = 0; call < 1_000; call += 1) {
      void one.run(() => new Promise<void>((resolve) => clock.setTimer(resolve, 380))).catch(() => undefined);
      await clock.advance(10);
    }
    const { advice, latency } = one.snapshot();
    expect(advice?.perSecond).toBeCloseTo(100, 0);
    expect(latency.p50Ms).toBeGreaterThan(370);
    expect(advice?.neededPermits).toBeGreaterThanOrEqual(38);
    expect(advice?.neededPermits).toBeLessThanOrEqual(39);
    expect(advice?.message).toMatch(/^at 100 calls\/s and p99 3[78]\d ms you need 3[89] permits, you have 12$/u);
    await clock.advance(1_000);
  });

  it("drain refuses newcomers, lets those inside end, and cancels what is left after the grace", async () => {
    const one = bulkhead({ concurrencyMax: 1 });
    const first = handWork();
    const inside = one.run(() => first.promise);
    const waiting = watch(one.run({ timeoutMs: 5_000 }, hang));
    const behind = watch(one.run({ timeoutMs: 5_000 }, () => 1));
    const drained = one.drain({ graceMs: 200 });
    await expect(one.run(() => 1)).rejects.toMatchObject({ code: "CLOSED" });
    first.resolve("in time");
    await expect(inside).resolves.toBe("in time");
    await clock.advance(200);
    expect(await drained).toEqual({ cancelled: 2, zombies: 1 });
    expect(waiting.error).toBeInstanceOf(DrainedError);
    expect(waiting.error).toMatchObject({ effect: "possible" });
    expect(behind.error).toMatchObject({ effect: "none" });
    await clock.advance(100_000);
  });

  it("drain of an idle bulkhead ends at once", async () => {
    expect(await bulkhead().drain({ graceMs: 0 })).toEqual({ cancelled: 0, zombies: 0 });
  });
});

describe("bad input", () => {
  it.each([
    [{ concurrencyMax: 0 }, RangeError],
    [{ concurrencyMax: 1.5 }, RangeError],
    [{ concurrencyMax: Number.NaN }, RangeError],
    [{ concurrencyMax: Infinity }, RangeError],
    [{ concurrencyMax: "5" }, TypeError],
    [{ queueMax: -1 }, RangeError],
    [{ queue: "random" }, TypeError],
    [{ timeoutMs: 0 }, RangeError],
    [{ timeoutMs: Infinity }, RangeError],
    [{ zombieMaxMs: 0 }, RangeError],
    [{ adaptive: { concurrencyMin: 20 } }, RangeError],
    [{ adaptive: { concurrencyMax: 1 } }, RangeError],
    [{ breaker: { failurePercent: 0 } }, RangeError],
    [{ breaker: { failurePercent: 101 } }, RangeError],
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
    expect(() => one.run({ timeoutMs: Number.NaN }, () => 1)).toThrow(RangeError);
    expect(() => one.run({ signal: {} as never }, () => 1)).toThrow(TypeError);
    expect(() => one.run({}, 1 as never)).toThrow(TypeError);
    expect(() => one.run(null as never, () => 1)).toThrow(TypeError);
  });
});

it("no listener on a signal and no timer outlives the calls", async () => {
  const one = bulkhead({ breaker: {} });
  const { signal } = new AbortController();
  for (let call = 0; call < 100; call += 1) await one.run({ signal }, () => call);
  expect(getEventListeners(signal, "abort")).toEqual([]);
  expect(clock.pendingTimers).toBeLessThanOrEqual(1);
  await clock.advance(500);
  expect(clock.pendingTimers).toBe(0);
});
