import { ManualClock } from "@holdfast/testkit";
import { beforeEach, describe, expect, it } from "vitest";
import { Bulkhead } from "../src/index.ts";
import type { BulkheadEvent, BulkheadOptions, SharedBreaker } from "../src/index.ts";
import { hang, handWork, turn, watch } from "./work.ts";

let clock: ManualClock;

beforeEach(() => {
  clock = new ManualClock();
});

function bulkhead(options: BulkheadOptions = {}): Bulkhead {
  return new Bulkhead("payments", {
    concurrencyMax: 4,
    timeoutMs: 500,
    clock,
    ...options,
    breaker: { callsMin: 4, windowMs: 10_000, openMs: 1_000, ...options.breaker },
  });
}

const failure = new Error("down");

async function fail(one: Bulkhead, calls: number): Promise<void> {
  for (let call = 0; call < calls; call += 1) await one.run(() => Promise.reject(failure)).catch(() => undefined);
}

describe("B2 what the breaker hears", () => {
  it("B2 errors open it at the threshold, and the next call is refused without a dispatch", async () => {
    const one = bulkhead();
    await one.run(() => 1);
    await one.run(() => 1);
    await fail(one, 1);
    expect(one.snapshot().state).toBe("closed");
    await fail(one, 1);
    expect(one.snapshot().state).toBe("open");
    let dispatched = false;
    await expect(one.run(() => (dispatched = true))).rejects.toMatchObject({ reason: "rejected-open", effect: "none" });
    expect(dispatched).toBe(false);
  });

  it("B2 rejections, queue timeouts and callers' aborts never reach it", async () => {
    const one = bulkhead({ concurrencyMax: 1, queueMax: 1 });
    const busy = handWork();
    const run = one.run({ timeoutMs: 5_000 }, () => busy.promise);
    for (let call = 0; call < 20; call += 1) {
      const controller = new AbortController();
      const aborted = watch(one.run({ signal: controller.signal }, hang));
      controller.abort();
      const late = watch(one.run({ timeoutMs: 1 }, hang));
      const refused = watch(one.run(hang));
      await clock.advance(1);
      expect([aborted.done, late.done, refused.done]).toEqual([true, true, true]);
    }
    busy.resolve("");
    await run;
    const { outcomes, state } = one.snapshot();
    expect(outcomes).toMatchObject({ cancelled: 20, "queue-timeout": 20, "rejected-full": 20, success: 1, failed: 0 });
    expect(state).toBe("closed");
  });

  it("B2 a caller's abort of running work never reaches it", async () => {
    const one = bulkhead();
    for (let call = 0; call < 20; call += 1) {
      const controller = new AbortController();
      const run = watch(one.run({ signal: controller.signal }, ({ signal }) => abortable(signal)));
      controller.abort(new Error("gone"));
      await turn();
      expect(run.done).toBe(true);
    }
    expect(one.snapshot()).toMatchObject({ state: "closed", outcomes: { cancelled: 20 } });
  });

  it.each([
    ["", undefined],
    [" of a bulkhead that retries", { attemptsMax: 2, when: () => false }],
  ])("B2 an error%s counts whatever was thrown, also when it was undefined", async (_title, retry) => {
    const one = bulkhead({ retry });
    // oxlint-disable-next-line prefer-promise-reject-errors -- what is thrown is up to the caller's function
    for (let call = 0; call < 4; call += 1) await one.run(() => Promise.reject(undefined)).catch(() => undefined);
    expect(one.snapshot()).toMatchObject({ state: "open", outcomes: { failed: 4 } });
  });

  it("B2 a timeout counts when the call had run long enough, and not when it was dispatched late", async () => {
    const conclusive = bulkhead({ concurrencyMax: 8 });
    const timeouts = Array.from({ length: 4 }, () => watch(conclusive.run(({ signal }) => abortable(signal))));
    await clock.advance(500);
    expect(timeouts.every(({ done }) => done)).toBe(true);
    expect(conclusive.snapshot().state).toBe("open");
    const late = bulkhead({ concurrencyMax: 8, breaker: { conclusiveAfterMs: 400 } });
    for (let call = 0; call < 20; call += 1) {
      const run = watch(late.run({ timeoutMs: 399 }, ({ signal }) => abortable(signal)));
      await clock.advance(399);
      expect(run.error).toMatchObject({ name: "CallTimeoutError" });
    }
    expect(late.snapshot()).toMatchObject({ state: "closed", outcomes: { "timed-out": 20 } });
  });

  it("B2 by default, before there is a median, nine tenths of timeoutMs make a timeout conclusive", async () => {
    for (const [waitedMs, state] of [
      [50, "open"],
      [51, "closed"],
    ] as const) {
      const one = new Bulkhead("payments", { concurrencyMax: 1, timeoutMs: 500, clock, breaker: { callsMin: 1 } });
      const first = handWork();
      const run = one.run(() => first.promise);
      const late = watch(one.run(hang));
      await clock.advance(waitedMs);
      first.resolve("");
      await run;
      await clock.advance(500 - waitedMs);
      expect(late.error).toMatchObject({ dispatchedAfterMs: waitedMs });
      expect(one.snapshot().state).toBe(state);
      await clock.advance(70_000);
    }
  });

  it("B2 by default twice the median makes a timeout conclusive", async () => {
    const one = bulkhead();
    for (let call = 0; call < 8; call += 1) {
      const work = handWork();
      const run = one.run(() => work.promise);
      await clock.advance(100);
      work.resolve("");
      await run;
    }
    const timeout = async (timeoutMs: number): Promise<void> => {
      for (let call = 0; call < 8; call += 1) {
        const run = watch(one.run({ timeoutMs }, ({ signal }) => abortable(signal)));
        await clock.advance(timeoutMs);
        expect(run.done).toBe(true);
      }
    };
    await timeout(199);
    expect(one.snapshot().state).toBe("closed");
    await timeout(200);
    expect(one.snapshot().state).toBe("open");
  });

  it("B2 counter-test: with every timeout conclusive, late dispatches alone open it", async () => {
    const one = bulkhead({ breaker: { conclusiveAfterMs: 1 } });
    for (let call = 0; call < 4; call += 1) {
      const run = watch(one.run({ timeoutMs: 30 }, ({ signal }) => abortable(signal)));
      await clock.advance(30);
      expect(run.done).toBe(true);
    }
    expect(one.snapshot().state).toBe("open");
  });

  it("classify decides: an ignored error does not count, a value can be a failure", async () => {
    const one = bulkhead({
      classify: ({ error, value }) => (error !== undefined ? "ignore" : value === 503 ? "failure" : "success"),
    });
    await fail(one, 20);
    expect(one.snapshot().state).toBe("closed");
    for (let call = 0; call < 4; call += 1) expect(await one.run(() => 503)).toBe(503);
    expect(one.snapshot()).toMatchObject({ state: "open", outcomes: { failed: 24 } });
  });

  it("a classify that throws is visible, and the plain rule stands in", async () => {
    const events: BulkheadEvent[] = [];
    const one = bulkhead({
      onEvent: (event) => events.push(event),
      classify: () => {
        throw failure;
      },
    });
    await expect(one.run(() => 1)).resolves.toBe(1);
    expect(events).toContainEqual({ type: "classify-failed", bulkhead: "payments", error: failure });
  });

  it("slow answers open it by their share", async () => {
    const one = bulkhead({ breaker: { slowCallMs: 100, slowPercent: 50 } });
    const answer = async (ms: number): Promise<void> => {
      const work = handWork();
      const run = one.run(() => work.promise);
      await clock.advance(ms);
      work.resolve("");
      await run;
    };
    await answer(10);
    await answer(10);
    await answer(100);
    expect(one.snapshot()).toMatchObject({ state: "closed", outcomes: { success: 2, slow: 1 } });
    await answer(100);
    expect(one.snapshot().state).toBe("open");
  });

  it("failures older than the window are forgotten, also over an idle gap", async () => {
    const one = bulkhead();
    await one.run(() => 1);
    await fail(one, 2);
    await clock.advance(3_600_000);
    await one.run(() => 1);
    await one.run(() => 1);
    await fail(one, 1);
    expect(one.snapshot().state).toBe("closed");
  });
});

describe("B4 half-open", () => {
  async function opened(options: BulkheadOptions = {}): Promise<Bulkhead> {
    const one = bulkhead(options);
    await fail(one, 4);
    expect(one.snapshot().state).toBe("open");
    return one;
  }

  it("B4 sends as many probes as allowed; their success closes it", async () => {
    const one = await opened({ breaker: { probes: 2 } });
    await clock.advance(999);
    await expect(one.run(() => 1)).rejects.toMatchObject({ reason: "rejected-open" });
    await clock.advance(1);
    expect(one.snapshot().state).toBe("half-open");
    const works = [handWork(), handWork()];
    const probes = works.map((work) => one.run(() => work.promise));
    await expect(one.run(() => 1)).rejects.toMatchObject({ reason: "rejected-open" });
    works[0]?.resolve("");
    await probes[0];
    expect(one.snapshot().state).toBe("half-open");
    works[1]?.resolve("");
    await probes[1];
    expect(one.snapshot().state).toBe("closed");
    await expect(one.run(() => "through")).resolves.toBe("through");
  });

  it("B4 a failing probe opens it again for the whole time", async () => {
    const one = await opened();
    await clock.advance(1_000);
    await fail(one, 1);
    expect(one.snapshot().state).toBe("open");
    await clock.advance(999);
    await expect(one.run(() => 1)).rejects.toMatchObject({ reason: "rejected-open" });
    await clock.advance(1);
    await expect(one.run(() => 1)).resolves.toBe(1);
  });

  it("B4 probes have permits of their own: zombies on all permits do not stop them", async () => {
    const one = bulkhead({ concurrencyMax: 4 });
    const zombies = Array.from({ length: 4 }, () => watch(one.run(hang)));
    await clock.advance(500);
    expect(zombies.every(({ done }) => done)).toBe(true);
    expect(one.snapshot()).toMatchObject({ state: "open", inFlight: 4, zombies: 4 });
    await clock.advance(1_000);
    await expect(one.run(() => "probe")).resolves.toBe("probe");
    expect(one.snapshot().state).toBe("closed");
    await clock.advance(70_000);
  });

  it("B4 the right to probe is asked for before each probe: it may have passed to another process", async () => {
    let right = true;
    const nothing = (): void => undefined;
    const shared = { attach: nothing, mayProbe: () => right, opened: nothing, closed: nothing };
    const one = bulkhead({ breaker: { probes: 2, shared: shared as unknown as SharedBreaker } });
    await fail(one, 4);
    await clock.advance(1_000);
    await expect(one.run(() => "first")).resolves.toBe("first");
    right = false;
    await expect(one.run(() => "second")).rejects.toMatchObject({ reason: "rejected-open" });
    right = true;
    await expect(one.run(() => "second")).resolves.toBe("second");
    expect(one.snapshot().state).toBe("closed");
  });

  it("B4 whoever calls as soon as it hears of half-open takes one of the probes, not one more", async () => {
    let probes = 0;
    const probe = (): Promise<never> => {
      probes += 1;
      return hang();
    };
    const one: Bulkhead = bulkhead({
      onEvent: (event) => {
        if (event.type === "breaker" && event.state === "half-open") void watch(one.run(probe));
      },
    });
    await fail(one, 4);
    await clock.advance(1_000);
    await expect(one.run(probe)).rejects.toMatchObject({ reason: "rejected-open" });
    expect(probes).toBe(1);
    expect(one.snapshot().inFlight).toBe(1);
  });

  it("B4 a hung probe is bounded by its timeout, and another follows", async () => {
    const one = await opened();
    await clock.advance(1_000);
    const hung = watch(one.run(hang));
    await expect(one.run(() => 1)).rejects.toMatchObject({ reason: "rejected-open" });
    await clock.advance(500);
    expect(hung.done).toBe(true);
    expect(one.snapshot().state).toBe("open");
    await clock.advance(1_000);
    await expect(one.run(() => "second probe")).resolves.toBe("second probe");
    expect(one.snapshot().state).toBe("closed");
    await clock.advance(70_000);
  });

  it("B4 a probe that its caller cancels tells nothing: the next call is the probe", async () => {
    const one = await opened();
    await clock.advance(1_000);
    const controller = new AbortController();
    const cancelled = watch(one.run({ signal: controller.signal }, ({ signal }) => abortable(signal)));
    controller.abort();
    await turn();
    expect(cancelled.done).toBe(true);
    expect(one.snapshot().state).toBe("half-open");
    await expect(one.run(() => 1)).resolves.toBe(1);
    expect(one.snapshot().state).toBe("closed");
  });

  it("B4 results from before the opening are ignored", async () => {
    const one = bulkhead();
    const early = handWork();
    const lateFailure = handWork();
    const runs = [
      one.run({ timeoutMs: 60_000 }, () => early.promise),
      watch(one.run({ timeoutMs: 60_000 }, () => lateFailure.promise)),
    ];
    await fail(one, 4);
    await clock.advance(1_000);
    // Half-open begins with its probe; the results of the others arrive while it runs.
    const probe = handWork();
    const probing = one.run(() => probe.promise);
    early.resolve("late success");
    await runs[0];
    expect(one.snapshot().state).toBe("half-open");
    lateFailure.reject(failure);
    await turn();
    expect(one.snapshot().state).toBe("half-open");
    probe.resolve("");
    await probing;
    expect(one.snapshot().state).toBe("closed");
  });

  it("B4 a slow probe keeps a breaker open that slowness opened", async () => {
    const one = bulkhead({ breaker: { slowCallMs: 100, slowPercent: 50 } });
    const answers = Array.from({ length: 4 }, () => handWork());
    const runs = answers.map((work) => one.run(() => work.promise));
    await clock.advance(200);
    for (const work of answers) work.resolve("");
    await Promise.all(runs);
    expect(one.snapshot().state).toBe("open");
    await clock.advance(1_000);
    const slow = handWork();
    const probe = one.run(() => slow.promise);
    await clock.advance(150);
    slow.resolve("");
    await probe;
    expect(one.snapshot().state).toBe("open");
  });

  it("whoever waits when it opens is refused at once", async () => {
    const one = bulkhead({ concurrencyMax: 1 });
    const busy = handWork();
    const run = watch(one.run(() => busy.promise));
    await turn();
    const waiters = [watch(one.run(() => 1)), watch(one.run(() => 2))];
    const other = bulkhead({ concurrencyMax: 1, breaker: { callsMin: 1 } });
    const otherBusy = handWork();
    const otherRun = watch(other.run(() => otherBusy.promise));
    const otherWaiter = watch(other.run(() => 1));
    otherBusy.reject(failure);
    await turn();
    expect([otherRun.error, (otherWaiter.error as { reason: string }).reason]).toEqual([failure, "rejected-open"]);
    busy.resolve("");
    await turn();
    expect([run.done, ...waiters.map(({ value }) => value)]).toEqual([true, 1, 2]);
  });

  it("a breaker that has closed starts afresh", async () => {
    const one = await opened();
    await clock.advance(1_000);
    await one.run(() => 1);
    await fail(one, 3);
    expect(one.snapshot().state).toBe("closed");
    await fail(one, 1);
    expect(one.snapshot().state).toBe("open");
  });
});

function abortable(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
}
