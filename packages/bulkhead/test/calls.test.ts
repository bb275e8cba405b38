import { AsyncLocalStorage } from "node:async_hooks";
import { tracingChannel } from "node:diagnostics_channel";
import { getEventListeners } from "node:events";
import { ManualClock } from "@holdfast/testkit";
import { beforeEach, describe, expect, it } from "vitest";
import { Bulkhead, bulkheadChannel, CallTimeoutError, DrainedError } from "../src/index.ts";
import type { BulkheadEvent, BulkheadOptions } from "../src/index.ts";
import { noneUnhandled } from "./unhandled.ts";
import { answersIn, hang, handWork, turn, watch } from "./work.ts";

let clock: ManualClock;
noneUnhandled();

beforeEach(() => {
  clock = new ManualClock();
});

function bulkhead(options: BulkheadOptions = {}): Bulkhead {
  return new Bulkhead("payments", { concurrencyMax: 2, timeoutMs: 500, clock, ...options });
}

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
    await answersIn(clock, one, 10);
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

  it("B3 a value whose then cannot be read fails its own call, and the next waiter gets the permit", async () => {
    const one = bulkhead({ concurrencyMax: 1 });
    const first = handWork();
    const before = one.run(() => first.promise);
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    const hostile = watch(one.run(() => proxy));
    const behind = watch(one.run(() => "has its turn"));
    first.resolve("");
    await before;
    await turn();
    expect(hostile.error).toBeInstanceOf(TypeError);
    expect(behind.value).toBe("has its turn");
    expect(one.snapshot()).toMatchObject({ inFlight: 0, queued: 0 });
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

  it("a tracer hears the beginning and the end of the work, and its stores are there in the work", async () => {
    const trace = tracingChannel<string, { bulkhead: string; waitMs: number }>(bulkheadChannel);
    const store = new AsyncLocalStorage<string>();
    const heard: unknown[] = [];
    const subscribers = {
      start: () => undefined,
      end: () => undefined,
      asyncStart: () => undefined,
      asyncEnd: (message: unknown) => heard.push(message),
      error: (message: unknown) => heard.push(message),
    };
    const one = bulkhead({ concurrencyMax: 1 });
    trace.subscribe(subscribers);
    trace.start.bindStore(store, ({ bulkhead: name }) => `span of ${name}`);
    try {
      const first = handWork();
      const slow = one.run(() => first.promise);
      const waited = one.run(() => store.getStore());
      await clock.advance(30);
      first.resolve("done");
      expect(await slow).toBe("done");
      expect(await waited).toBe("span of payments");
      const failure = new Error("no");
      const sync = one.run(() => {
        throw failure;
      });
      await expect(sync).rejects.toBe(failure);
      expect(heard).toMatchObject([
        { bulkhead: "payments", probe: false, waitMs: 0, result: "done" },
        { bulkhead: "payments", waitMs: 30, result: "span of payments" },
        { error: failure },
        { error: failure },
      ]);
    } finally {
      trace.unsubscribe(subscribers);
      trace.start.unbindStore(store);
    }
    expect(await one.run(() => store.getStore())).toBeUndefined();
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

  it("drain does not cancel a second time what has timed out before", async () => {
    const one = bulkhead({ concurrencyMax: 2 });
    void watch(one.run({ timeoutMs: 100 }, hang));
    const late = watch(one.run({ timeoutMs: 5_000 }, hang));
    await clock.advance(100);
    const drained = one.drain({ graceMs: 50 });
    await clock.advance(50);
    expect(await drained).toEqual({ cancelled: 1, zombies: 2 });
    expect(late.error).toBeInstanceOf(DrainedError);
    expect(one.snapshot().outcomes).toMatchObject({ "timed-out": 1, cancelled: 1 });
    await clock.advance(70_000);
  });

  it("each of two drains ends when nothing is inside any more", async () => {
    const one = bulkhead();
    const work = handWork();
    const inside = one.run(() => work.promise);
    const drains = [watch(one.drain({ graceMs: 60_000 })), watch(one.drain({ graceMs: 50_000 }))];
    await turn();
    work.resolve("");
    await inside;
    await turn();
    expect(drains.map(({ value }) => value)).toEqual([
      { cancelled: 0, zombies: 0 },
      { cancelled: 0, zombies: 0 },
    ]);
  });

  it("a drain waits no longer when a later one with less grace has cancelled everything", async () => {
    const one = bulkhead();
    const deaf = watch(one.run(hang));
    const first = watch(one.drain({ graceMs: 60_000 }));
    const second = watch(one.drain({ graceMs: 10 }));
    await clock.advance(10);
    expect(deaf.error).toBeInstanceOf(DrainedError);
    expect(second.value).toEqual({ cancelled: 1, zombies: 1 });
    expect(first.value).toEqual({ cancelled: 0, zombies: 1 });
    await clock.advance(70_000);
  });

  it.each<[string, (caller: AbortController, one: Bulkhead) => unknown]>([
    ["its caller gives up", (caller) => caller.abort()],
    ["its time is over", () => clock.advance(1_000)],
    ["it is refused", (_, one) => one.refuseWaiting(new Error("Redis is away"))],
  ])("drain ends with the last waiter, where no permit comes back, when %s", async (_, leaves) => {
    const one = new Bulkhead("payments", { clock, timeoutMs: 1_000 }, { limit: 0 });
    const caller = new AbortController();
    const waiting = watch(one.run({ signal: caller.signal }, hang));
    const drained = watch(one.drain({ graceMs: 60_000 }));
    await turn();
    expect(drained.done).toBe(false);
    await leaves(caller, one);
    await turn();
    expect(waiting.done).toBe(true);
    expect(drained.value).toEqual({ cancelled: 0, zombies: 0 });
  });

  it("drain of an idle bulkhead ends at once", async () => {
    expect(await bulkhead().drain({ graceMs: 0 })).toEqual({ cancelled: 0, zombies: 0 });
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
