import { AsyncLocalStorage } from "node:async_hooks";
import { ManualClock } from "@holdfast/testkit";
import { beforeEach, describe, expect, it } from "vitest";
import { Bulkhead, BulkheadRejectedError, CallTimeoutError } from "../src/index.ts";
import type { BulkheadOptions } from "../src/index.ts";
import { noneUnhandled } from "./unhandled.ts";
import { answersIn, hang, handWork, turn, watch } from "./work.ts";

let clock: ManualClock;
const unhandled = noneUnhandled();

beforeEach(() => {
  clock = new ManualClock();
});

function bulkhead(options: BulkheadOptions = {}): Bulkhead {
  return new Bulkhead("payments", { concurrencyMax: 2, timeoutMs: 500, clock, ...options });
}

describe("B1 permits", () => {
  it("B1 no call is dispatched while the work in flight is at the limit", async () => {
    const one = bulkhead();
    const first = handWork();
    let started = 0;
    const runs = [0, 1, 2].map(() =>
      one.run(() => {
        started += 1;
        return first.promise;
      }),
    );
    await turn();
    expect(started).toBe(2);
    expect(one.snapshot()).toMatchObject({ inFlight: 2, queued: 1, utilisation: 1 });
    first.resolve("done");
    await Promise.all(runs);
    expect(started).toBe(3);
    expect(one.snapshot()).toMatchObject({ inFlight: 0, queued: 0, outcomes: { success: 3 } });
  });

  it("B1 a timed-out call keeps its permit until its work has really settled", async () => {
    const one = bulkhead({ concurrencyMax: 1 });
    const slow = handWork();
    const late = watch(one.run(() => slow.promise));
    await clock.advance(500);
    expect(late.error).toBeInstanceOf(CallTimeoutError);
    expect(one.snapshot()).toMatchObject({ inFlight: 1, zombies: 1 });
    let started = false;
    const next = one.run(() => (started = true));
    await turn();
    expect(started).toBe(false);
    slow.resolve("at last");
    await next;
    expect(one.snapshot()).toMatchObject({ inFlight: 0, zombies: 0 });
  });

  it("B1 counter-test: work that listens to its signal gives its permit back at the timeout", async () => {
    const one = bulkhead({ concurrencyMax: 1 });
    const late = watch(
      one.run(
        ({ signal }) =>
          new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error))),
      ),
    );
    await clock.advance(500);
    expect(late.error).toBeInstanceOf(CallTimeoutError);
    expect(one.snapshot()).toMatchObject({ inFlight: 0, zombies: 0 });
  });

  it("B1 a zombie keeps its permit at most zombieMaxMs, then it is counted as leaked until it ends", async () => {
    const one = bulkhead({ concurrencyMax: 1, zombieMaxMs: 1_000 });
    const slow = handWork();
    void watch(one.run(() => slow.promise));
    await clock.advance(1_499);
    expect(one.snapshot()).toMatchObject({ inFlight: 1, zombies: 1, leaked: 0 });
    await clock.advance(1);
    expect(one.snapshot()).toMatchObject({ inFlight: 0, zombies: 0, leaked: 1 });
    await expect(one.run(() => "free")).resolves.toBe("free");
    slow.resolve("at last");
    await turn();
    expect(one.snapshot()).toMatchObject({ inFlight: 0, zombies: 0, leaked: 0 });
  });

  it("B1 a call whose caller gave up keeps its permit as well", async () => {
    const one = bulkhead({ concurrencyMax: 1 });
    const controller = new AbortController();
    const work = handWork();
    const run = watch(one.run({ signal: controller.signal }, () => work.promise));
    const reason = new Error("client went away");
    controller.abort(reason);
    await turn();
    expect(run.error).toBe(reason);
    expect(one.snapshot()).toMatchObject({ inFlight: 1, zombies: 1, outcomes: { cancelled: 1 } });
    work.reject(new Error("late"));
    await turn();
    expect(one.snapshot()).toMatchObject({ inFlight: 0, zombies: 0 });
  });

  it("B1 a lowered limit lets the calls above it go on and admits none until they are done", async () => {
    const one = bulkhead({ concurrencyMax: 3 });
    const works = [handWork(), handWork(), handWork()];
    const runs = works.map((work) => one.run(() => work.promise));
    one.setLimit(1, "test");
    let started = false;
    const next = one.run(() => (started = true));
    works[0]?.resolve("");
    works[1]?.resolve("");
    await turn();
    expect(started).toBe(false);
    works[2]?.resolve("");
    await Promise.all([...runs, next]);
    expect(started).toBe(true);
  });
});

describe("B3 the queue", () => {
  it("B3 a permit is handed to the next waiter, and a newcomer cannot take it in between", async () => {
    const one = bulkhead({ concurrencyMax: 1 });
    const order: string[] = [];
    const first = handWork();
    // A newcomer in the very turn in which the permit comes back.
    const run = one.run(() => first.promise).then(() => one.run(() => order.push("newcomer")));
    const waiter = one.run(() => order.push("waiter"));
    first.resolve("");
    await Promise.all([run, waiter]);
    expect(order).toEqual(["waiter", "newcomer"]);
  });

  it("B3 counter-test: a permit that is freed before it is handed on goes to the newcomer", async () => {
    const permits = { free: 1 };
    const waiting: (() => void)[] = [];
    /** As semaphores are often written: who is woken looks again whether a permit is free. */
    const run = async (work: () => unknown): Promise<void> => {
      while (permits.free === 0) await new Promise<void>((resolve) => waiting.push(resolve));
      permits.free -= 1;
      await work();
      permits.free += 1;
      waiting.shift()?.();
    };
    const order: string[] = [];
    const first = run(() => undefined);
    const waiter = run(() => order.push("waiter"));
    // In the very turn in which the permit comes back, before whoever is woken has looked.
    const newcomer = Promise.resolve().then(() => run(() => order.push("newcomer")));
    await Promise.all([first, waiter, newcomer]);
    expect(order).toEqual(["newcomer", "waiter"]);
  });

  it("B3 a call that the work of one waiter makes does not overtake the next waiter", async () => {
    const one = bulkhead({ concurrencyMax: 1 });
    const busy = handWork();
    const order: string[] = [];
    let made: Promise<unknown> | undefined;
    const runs = [
      one.run(() => busy.promise as Promise<unknown>),
      one.run(() => {
        order.push("first");
        made = one.run(() => order.push("made by the first"));
        return Promise.resolve();
      }),
      one.run(() => Promise.resolve(order.push("second"))),
    ];
    // Three permits are handed on in one step.
    one.setLimit(4, "test");
    busy.resolve("");
    await Promise.all([...runs, made]);
    expect(order).toEqual(["first", "second", "made by the first"]);
  });

  it.each([
    ["fifo", ["a", "b", "c"]],
    ["lifo", ["c", "b", "a"]],
  ] as const)("B3 %s serves in its order", async (queue, expected) => {
    const one = bulkhead({ concurrencyMax: 1, queue });
    const first = handWork();
    const order: string[] = [];
    const runs = [one.run(() => first.promise), ...["a", "b", "c"].map((name) => one.run(() => order.push(name)))];
    first.resolve("");
    await Promise.all(runs);
    expect(order).toEqual(expected);
  });

  it("B3 an abort removes a waiter at once and frees its place", async () => {
    const one = bulkhead({ concurrencyMax: 1, queueMax: 1 });
    void watch(one.run(hang));
    const controller = new AbortController();
    const waiter = watch(one.run({ signal: controller.signal }, () => "never"));
    expect(one.snapshot().queued).toBe(1);
    controller.abort(new Error("gone"));
    expect(one.snapshot().queued).toBe(0);
    await turn();
    expect(waiter.error).toMatchObject({ message: "gone" });
    const second = watch(one.run(() => "waits"));
    await turn();
    expect(second.done).toBe(false);
    expect(one.snapshot()).toMatchObject({ queued: 1, outcomes: { cancelled: 1 } });
    await clock.advance(500);
  });

  it("B3 a full queue refuses: FIFO the newcomer, LIFO its oldest waiter", async () => {
    for (const [queue, refusedName] of [
      ["fifo", "second"],
      ["lifo", "first"],
    ] as const) {
      const one = bulkhead({ concurrencyMax: 1, queueMax: 1, queue });
      void watch(one.run(hang));
      const waiters = { first: watch(one.run(() => 1)), second: watch(one.run(() => 2)) };
      await turn();
      expect(waiters[refusedName].error).toMatchObject({ reason: "rejected-full", effect: "none" });
      expect(one.snapshot()).toMatchObject({ queued: 1, outcomes: { "rejected-full": 1 } });
      await clock.advance(500);
    }
  });

  it("a waiter whose time is over is told so with effect none, and counts as queue-timeout", async () => {
    const one = bulkhead({ concurrencyMax: 1 });
    void watch(one.run({ timeoutMs: 10_000 }, hang));
    const waiter = watch(one.run(() => "never"));
    await clock.advance(500);
    expect(waiter.error).toBeInstanceOf(BulkheadRejectedError);
    expect(waiter.error).toMatchObject({ reason: "queue-timeout", effect: "none" });
    expect(one.snapshot()).toMatchObject({ queued: 0, outcomes: { "queue-timeout": 1 } });
    await clock.advance(10_000);
  });

  it("a waiting call runs in the asynchronous context of its own caller", async () => {
    const storage = new AsyncLocalStorage<string>();
    const one = bulkhead({ concurrencyMax: 1 });
    const first = handWork();
    const run = storage.run("first", () => one.run(() => first.promise));
    const second = storage.run("second", () => one.run(() => storage.getStore()));
    first.resolve("");
    await run;
    expect(await second).toBe("second");
  });

  it("100,000 waiting calls that end at once need no stack", async () => {
    const one = bulkhead({ concurrencyMax: 1, queueMax: 200_000 });
    const first = handWork();
    const runs = [one.run(() => first.promise as Promise<unknown>)];
    for (let call = 0; call < 100_000; call += 1) runs.push(one.run(() => call as unknown as Promise<unknown>));
    first.resolve("");
    await Promise.all(runs);
    expect(one.snapshot().outcomes.success).toBe(100_001);
  });
});

describe("B6 isolation", () => {
  it("B6 a dependency that hangs does not delay the calls of another bulkhead", async () => {
    const slow = new Bulkhead("slow", { concurrencyMax: 1, clock });
    const other = new Bulkhead("other", { concurrencyMax: 1, clock });
    for (let call = 0; call < 50; call += 1) void watch(slow.run(hang));
    await expect(other.run(() => "at once")).resolves.toBe("at once");
    expect(other.snapshot()).toMatchObject({ queued: 0, queueWait: { samples: 0 } });
    await clock.advance(100_000);
  });

  it("B6 what one has learnt of its dependency is nothing to another: neither time, nor failures, nor an open breaker", async () => {
    const [slow, other] = ["slow", "other"].map(
      (name) => new Bulkhead(name, { concurrencyMax: 1, timeoutMs: 500, clock, breaker: {} }),
    );
    if (slow === undefined || other === undefined) throw new Error("there are two");
    await answersIn(clock, slow, 400);
    for (let call = 0; call < 20; call += 1)
      await slow.run(() => Promise.reject(new Error("down"))).catch(() => undefined);
    expect(slow.snapshot().state).toBe("open");
    const first = handWork();
    const run = other.run(() => first.promise);
    // It would start in 400 ms there.
    const waits = watch(other.run(() => "has its turn"));
    await turn();
    expect(waits.done).toBe(false);
    first.resolve("");
    await run;
    await turn();
    expect(waits.value).toBe("has its turn");
    expect(other.snapshot()).toMatchObject({ state: "closed", outcomes: { success: 2, failed: 0 } });
  });

  it("B6 counter-test: one bulkhead for both does delay them", async () => {
    const both = new Bulkhead("both", { concurrencyMax: 1, clock });
    void watch(both.run(hang));
    const other = watch(both.run(() => "late"));
    await turn();
    expect(other.done).toBe(false);
    await clock.advance(100_000);
  });
});

describe("B8 late rejections", () => {
  it("B8 a zombie that rejects late is never an unhandled rejection", async () => {
    const one = bulkhead({ concurrencyMax: 1, zombieMaxMs: 1_000 });
    const works = [handWork(), handWork()];
    void watch(one.run(() => (works[0] as { promise: Promise<string> }).promise));
    await clock.advance(600);
    works[0]?.reject(new Error("late"));
    void watch(one.run(() => (works[1] as { promise: Promise<string> }).promise));
    await clock.advance(5_000);
    works[1]?.reject(new Error("after it was given up as leaked"));
    await turn();
    await turn();
    expect(one.snapshot()).toMatchObject({ inFlight: 0, zombies: 0, leaked: 0 });
  });

  it("B8 counter-test: without the bulkhead's handler the same rejection is unhandled", async () => {
    const work = handWork();
    void Promise.race([work.promise, Promise.resolve()]).then(() => undefined);
    void work.promise.finally(() => undefined);
    work.reject(new Error("late"));
    await turn();
    await turn();
    expect(unhandled.length).toBeGreaterThan(0);
    unhandled.length = 0;
  });
});
