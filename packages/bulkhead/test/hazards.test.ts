/**
 * The traps that opossum 10 and cockatiel 4 fall into, each as a test that passes here. Where the defect can be shown on opossum itself,
 * that is the counter-test.
 */
import { once } from "node:events";
import { ManualClock } from "@holdfast/testkit";
import CircuitBreaker from "opossum";
import { beforeEach, describe, expect, it } from "vitest";
import { Bulkhead, BulkheadRejectedError, CallTimeoutError } from "../src/index.ts";
import type { BulkheadOptions } from "../src/index.ts";
import { hang, handWork, turn, watch } from "./work.ts";

let clock: ManualClock;

beforeEach(() => {
  clock = new ManualClock();
});

function bulkhead(options: BulkheadOptions = {}): Bulkhead {
  return new Bulkhead("payments", {
    concurrencyMax: 2,
    timeoutMs: 500,
    clock,
    ...options,
    breaker: { callsMin: 4, openMs: 1_000, ...options.breaker },
  });
}

async function fail(one: Bulkhead, calls: number): Promise<void> {
  for (let call = 0; call < calls; call += 1)
    await one.run(() => Promise.reject(new Error("down"))).catch(() => undefined);
}

describe("opossum", () => {
  it("B2 hazard: a rejection for lack of permits does not open the breaker of a healthy dependency", async () => {
    const one = bulkhead({ queueMax: 0, breaker: { callsMin: 1 } });
    const work = handWork();
    const inside = [one.run(() => work.promise), one.run(() => work.promise)];
    for (let call = 0; call < 50; call += 1)
      await expect(one.run(hang)).rejects.toMatchObject({ reason: "rejected-full" });
    work.resolve("");
    await Promise.all(inside);
    expect(one.snapshot().state).toBe("closed");
  });

  it("counter-test: opossum's own capacity opens it", async () => {
    const work = handWork();
    const circuit = new CircuitBreaker(() => work.promise, { capacity: 2, timeout: false });
    const calls = Array.from({ length: 10 }, () => circuit.fire().catch(() => undefined));
    await turn();
    expect(circuit.opened).toBe(true);
    work.resolve("");
    await Promise.all(calls);
    circuit.shutdown();
  });

  it("B2 hazard: a rejection is no success either: it does not close a half-open breaker without a probe", async () => {
    const one = bulkhead({ concurrencyMax: 1, queueMax: 0, timeoutMs: 5_000 });
    const busy = handWork();
    void watch(one.run(() => busy.promise));
    busy.reject(new Error("down"));
    await turn();
    await fail(one, 3);
    await clock.advance(1_000);
    const probe = handWork();
    const probing = one.run(() => probe.promise);
    for (let call = 0; call < 10; call += 1)
      await expect(one.run(hang)).rejects.toMatchObject({ reason: "rejected-open" });
    expect(one.snapshot().state).toBe("half-open");
    probe.resolve("");
    await probing;
    expect(one.snapshot().state).toBe("closed");
  });

  it("B4 hazard: lack of permits does not keep a half-open breaker from its probe", async () => {
    const broken = bulkhead({ concurrencyMax: 4, queueMax: 0 });
    for (let call = 0; call < 4; call += 1) void watch(broken.run(hang));
    await clock.advance(500);
    expect(broken.snapshot()).toMatchObject({ state: "open", zombies: 4 });
    await clock.advance(1_000);
    await expect(broken.run(() => "probe")).resolves.toBe("probe");
    await clock.advance(70_000);
  });

  it("B1 hazard: a timeout does not free the permit while the work goes on", async () => {
    const one = bulkhead({ timeoutMs: 50, queueMax: 0 });
    let running = 0;
    let most = 0;
    const work = async (): Promise<void> => {
      running += 1;
      most = Math.max(most, running);
      await new Promise<void>((resolve) => clock.setTimer(resolve, 400));
      running -= 1;
    };
    for (let call = 0; call < 12; call += 1) {
      void watch(one.run(work));
      await clock.advance(30);
    }
    expect(most).toBe(2);
    await clock.advance(500);
  });

  it("hazard: one timeout aborts neither its siblings nor later calls", async () => {
    const one = bulkhead({ timeoutMs: 500 });
    const late = watch(
      one.run(
        { timeoutMs: 100 },
        ({ signal }) =>
          new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error))),
      ),
    );
    const gate = handWork();
    let siblingAborted = true;
    const sibling = one.run(async ({ signal }) => {
      await gate.promise;
      siblingAborted = signal.aborted;
    });
    await clock.advance(100);
    expect(late.error).toBeInstanceOf(CallTimeoutError);
    gate.resolve("");
    await sibling;
    expect(siblingAborted).toBe(false);
    expect(await one.run(({ signal }) => signal.aborted)).toBe(false);
  });

  it("B4 hazard: a late success from before the opening does not close it", async () => {
    const one = bulkhead({ timeoutMs: 60_000 });
    const early = handWork();
    const run = one.run(() => early.promise);
    await fail(one, 4);
    await clock.advance(1_000);
    const probe = watch(one.run(hang));
    early.resolve("from before");
    await run;
    expect([one.snapshot().state, probe.done]).toEqual(["half-open", false]);
    await clock.advance(200_000);
  });

  it("B4 counter-test: opossum is closed by a late success from before its opening, and wedged by a hung probe", async () => {
    const make = () =>
      new CircuitBreaker((work: () => Promise<unknown>) => work(), {
        timeout: false,
        resetTimeout: 5,
        volumeThreshold: 2,
      });
    const down = (): Promise<never> => Promise.reject(new Error("down"));
    const halfOpen = async (breaker: ReturnType<typeof make>): Promise<void> => {
      const isHalfOpen = once(breaker, "halfOpen");
      for (let call = 0; call < 3; call += 1) await breaker.fire(down).catch(() => undefined);
      await isHalfOpen;
    };
    const late = make();
    const early = handWork();
    const run = late.fire(() => early.promise);
    await halfOpen(late);
    early.resolve("from before");
    await run;
    expect(late.closed).toBe(true);
    const wedged = make();
    await halfOpen(wedged);
    void wedged.fire(hang);
    for (let call = 0; call < 3; call += 1) {
      await expect(wedged.fire(() => Promise.resolve("well"))).rejects.toMatchObject({ code: "EOPENBREAKER" });
    }
    late.shutdown();
    wedged.shutdown();
  });

  it("B4 hazard: a hung probe does not wedge the breaker", async () => {
    const one = bulkhead();
    await fail(one, 4);
    for (let probe = 0; probe < 3; probe += 1) {
      await clock.advance(1_000);
      const hung = watch(one.run(hang));
      await clock.advance(500);
      expect(hung.done).toBe(true);
    }
    await clock.advance(1_000);
    await expect(one.run(() => "well")).resolves.toBe("well");
    expect(one.snapshot().state).toBe("closed");
    await clock.advance(70_000);
  });

  it("hazard: a failed call costs the same with 100,000 samples in the window", async () => {
    const one = new Bulkhead("payments", { breaker: { callsMin: 1_000_000, windowMs: 600_000 } });
    // Computing time, of which a machine that stands still takes none.
    const failures = async (calls: number): Promise<number> => {
      const before = process.cpuUsage();
      await fail(one, calls);
      const { user, system } = process.cpuUsage(before);
      return (user + system) / 1_000 / calls;
    };
    await failures(2_000);
    const few = await failures(2_000);
    for (let call = 0; call < 100_000; call += 1) await one.run(() => call);
    const many = await failures(2_000);
    // opossum's own statistics take 14 ms for one such call.
    expect(many).toBeLessThan(Math.max(1, few * 20));
  });

  it("hazard: nobody's options are changed", () => {
    const breaker = Object.freeze({ failurePercent: 50 });
    const options = Object.freeze({ clock, breaker, timeoutMs: 100 });
    expect(new Bulkhead("payments", options).circuit?.closed).toBe(true);
    expect(Object.keys(options)).toEqual(["clock", "breaker", "timeoutMs"]);
  });

  it("hazard: the constructor arms no timer and no interval, and opening arms none", async () => {
    const intervals = (): number => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
    const before = intervals();
    const all = Array.from({ length: 50 }, () => bulkhead());
    await Promise.all(all.map((one) => fail(one, 4)));
    expect(all.every((one) => one.snapshot().state === "open")).toBe(true);
    expect(intervals() - before).toBeLessThanOrEqual(0);
    expect(clock.pendingTimers).toBeLessThanOrEqual(50);
  });

  it("hazard: a function that returns undefined without a promise is a success", async () => {
    const one = bulkhead();
    await expect(one.run(() => undefined)).resolves.toBeUndefined();
    expect(one.snapshot().outcomes).toMatchObject({ success: 1, failed: 0 });
  });

  it("hazard: one call is one latency sample, also when it times out", async () => {
    const one = bulkhead({ timeoutMs: 50, breaker: { callsMin: 100 } });
    for (let call = 0; call < 5; call += 1) {
      const late = watch(
        one.run(
          ({ signal }) =>
            new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error))),
        ),
      );
      await clock.advance(50);
      expect(late.done).toBe(true);
    }
    expect(one.snapshot().latency.samples).toBe(5);
  });

  it("hazard: refused calls do not dilute the share of failures after an opening", async () => {
    const one = bulkhead();
    await fail(one, 4);
    for (let call = 0; call < 99; call += 1) await one.run(() => 1).catch(() => undefined);
    await clock.advance(1_000);
    await fail(one, 1);
    expect(one.snapshot().state).toBe("open");
    expect(one.circuit?.stats).toMatchObject({ fires: 4 });
  });
});

describe("cockatiel", () => {
  it("B3 hazard: a slot is handed on, not freed: an admitted call is never rejected afterwards", async () => {
    const one = bulkhead({ concurrencyMax: 1, queueMax: 1 });
    const first = handWork();
    const inside = one.run(() => first.promise);
    const admitted = one.run(() => "served");
    first.resolve("");
    await inside;
    // In the turn in which the slot came back.
    const newcomer = watch(one.run(() => "newcomer"));
    await expect(admitted).resolves.toBe("served");
    await turn();
    expect(newcomer.error ?? newcomer.value).toBe("newcomer");
  });

  it("B3 hazard: an abort while queued is honoured at once", async () => {
    const one = bulkhead({ concurrencyMax: 1 });
    void watch(one.run(hang));
    const controller = new AbortController();
    const queued = watch(one.run({ signal: controller.signal }, hang));
    await clock.advance(20);
    controller.abort(new Error("gone"));
    await turn();
    expect([queued.done, clock.monotonicMs(), one.snapshot().queued]).toEqual([true, 20, 0]);
    await clock.advance(70_000);
  });

  it("hazard: a timeout and a caller's abort are told apart by type", async () => {
    const one = bulkhead();
    const controller = new AbortController();
    const aborted = watch(one.run({ signal: controller.signal }, hang));
    const late = watch(one.run(hang));
    const reason = new Error("the client went away");
    controller.abort(reason);
    await clock.advance(500);
    expect(aborted.error).toBe(reason);
    expect(late.error).toBeInstanceOf(CallTimeoutError);
    expect(one.snapshot().outcomes).toMatchObject({ cancelled: 1, "timed-out": 1 });
    await clock.advance(70_000);
  });

  it("B2 hazard: callers' aborts do not open it", async () => {
    const one = bulkhead({ breaker: { callsMin: 1 } });
    for (let call = 0; call < 10; call += 1) {
      const controller = new AbortController();
      const aborted = watch(
        one.run(
          { signal: controller.signal },
          ({ signal }) =>
            new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error))),
        ),
      );
      controller.abort();
      await turn();
      expect(aborted.done).toBe(true);
    }
    expect(one.snapshot().state).toBe("closed");
  });

  describe("a process that stood still for a second", () => {
    class StillClock extends ManualClock {
      stoodStillMs = 0;
      override monotonicMs(): number {
        return super.monotonicMs() + this.stoodStillMs;
      }
    }

    it("B2 hazard: answers that lie in the socket come before the timeouts that are found late", async () => {
      const still = new StillClock();
      const one = bulkhead({ concurrencyMax: 30, clock: still });
      const works = Array.from({ length: 30 }, () => handWork());
      const runs = works.map((work) => watch(one.run(() => work.promise)));
      // Node looks at its timers first, and at its sockets afterwards.
      still.setTimer(() => works.forEach((work) => work.resolve("answered long ago")), 500);
      still.stoodStillMs = 1_000;
      await still.advance(500);
      expect(new Set(runs.map(({ value }) => value))).toEqual(new Set(["answered long ago"]));
      expect(one.snapshot()).toMatchObject({ state: "closed", inFlight: 0, outcomes: { success: 30, "timed-out": 0 } });
      await still.advance(70_000);
    });

    it("B2 counter-test: calls that have no answer then either have timed out, and open it", async () => {
      const still = new StillClock();
      const one = bulkhead({ concurrencyMax: 30, clock: still });
      const runs = Array.from({ length: 30 }, () => watch(one.run(hang)));
      still.stoodStillMs = 1_000;
      await still.advance(500);
      for (const { error } of runs) expect(error).toBeInstanceOf(CallTimeoutError);
      expect(one.snapshot()).toMatchObject({ state: "open", zombies: 30, outcomes: { "timed-out": 30 } });
      await still.advance(70_000);
    });
  });

  it("hazard: the window expires over an idle gap", async () => {
    const one = bulkhead({ breaker: { callsMin: 3, failurePercent: 60 } });
    await one.run(() => 1);
    await one.run(() => 1);
    await fail(one, 2);
    await clock.advance(3_600_000);
    await one.run(() => 1);
    await one.run(() => 1);
    await fail(one, 2);
    expect(one.snapshot().state).toBe("closed");
  });
});

describe("the process", () => {
  it("hazard: a rejection is cheap when there are thousands: it carries no stack", async () => {
    const one = bulkhead({ queueMax: 0 });
    void watch(one.run(hang));
    void watch(one.run(hang));
    const error = await one.run(hang).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(BulkheadRejectedError);
    expect((error as Error).stack).not.toContain("\n");
    expect(new Error("stacks are back").stack).toContain("\n");
    await clock.advance(70_000);
  });
});
