/** B5: who is let into the queue, by how long it is likely to take until his turn. */
import { withAmbientDeadline } from "@holdfast/core";
import { ManualClock } from "@holdfast/testkit";
import { beforeEach, describe, expect, it } from "vitest";
import { Bulkhead } from "../src/index.ts";
import type { BulkheadOptions, BulkheadRejectedError } from "../src/index.ts";
import { answersIn, hang, handWork, turn, untilAborted, watch } from "./work.ts";

let clock: ManualClock;

beforeEach(() => {
  clock = new ManualClock();
});

function bulkhead(options: BulkheadOptions = {}): Bulkhead {
  return new Bulkhead("payments", { concurrencyMax: 2, timeoutMs: 500, clock, ...options });
}

describe("B5 admission by deadline", () => {
  it("B5 a waiter whose predicted start misses its deadline is refused at admission", async () => {
    const one = bulkhead({ concurrencyMax: 1 });
    await answersIn(clock, one, 200);
    const first = handWork();
    const runs = [one.run(() => first.promise)];
    // Starts in 200 ms and ends in 400.
    const inTime = watch(one.run(hang));
    // Would start in 400 ms and end in 600.
    const late = watch(one.run(hang));
    await turn();
    expect(inTime.done).toBe(false);
    expect(late.error).toMatchObject({ reason: "rejected-deadline", effect: "none" });
    first.resolve("");
    await Promise.all(runs);
    await clock.advance(70_000);
  });

  it("B5 a queue is predicted to move at the pace of the mean: a few slow answers among quick ones hold up everybody", async () => {
    const one = bulkhead({ concurrencyMax: 1 });
    await answersIn(clock, one, 10, 20);
    await answersIn(clock, one, 300, 12);
    const first = handWork();
    const run = one.run(() => first.promise);
    const waiters = Array.from({ length: 40 }, () => watch(one.run(hang)));
    await turn();
    // The mean is 119 ms, so four can begin within 489.
    expect(waiters.map(({ done }) => !done).lastIndexOf(true)).toBe(3);
    first.resolve("");
    await run;
    await clock.advance(70_000);
  });

  it("B5 work that is given up at its timeout and then fails has held its permit all the same", async () => {
    const one = bulkhead({ concurrencyMax: 1 });
    await answersIn(clock, one, 10, 16);
    for (let call = 0; call < 16; call += 1) {
      const run = watch(one.run(({ signal }) => untilAborted(signal)));
      await clock.advance(500);
      expect(run.error).toMatchObject({ name: "CallTimeoutError" });
    }
    const first = handWork();
    const run = one.run(() => first.promise);
    const waiters = Array.from({ length: 40 }, () => watch(one.run(hang)));
    await turn();
    // The mean is 255 ms.
    expect(waiters.filter(({ done }) => !done)).toHaveLength(1);
    first.resolve("");
    await run;
    await clock.advance(70_000);
  });

  it("B5 slow answers are forgotten once as many quick ones have come", async () => {
    const one = bulkhead({ concurrencyMax: 1 });
    await answersIn(clock, one, 300, 12);
    await answersIn(clock, one, 10, 32);
    const first = handWork();
    const run = one.run(() => first.promise);
    const waiters = Array.from({ length: 40 }, () => watch(one.run(hang)));
    await turn();
    expect(waiters.filter(({ done }) => !done)).toHaveLength(40);
    first.resolve("");
    await run;
    await clock.advance(70_000);
  });

  it("B5 work that stood still for long after its timeout counts for no more than its timeout", async () => {
    const one = bulkhead({ concurrencyMax: 1 });
    await answersIn(clock, one, 10, 16);
    const stuck = handWork();
    const zombie = watch(one.run(() => stuck.promise));
    await clock.advance(50_000);
    expect(zombie.error).toMatchObject({ name: "CallTimeoutError" });
    stuck.resolve("");
    await turn();
    const first = handWork();
    const run = one.run(() => first.promise);
    const waiter = watch(one.run(hang));
    await turn();
    expect(waiter.done).toBe(false);
    first.resolve("");
    await run;
    await clock.advance(70_000);
  });

  it("B5 counter-test: without an estimate the same call waits in vain", async () => {
    const one = bulkhead({ concurrencyMax: 1 });
    void watch(one.run({ timeoutMs: 10_000 }, hang));
    const waiters = [watch(one.run(hang)), watch(one.run(hang))];
    await clock.advance(500);
    expect(waiters.map(({ error }) => (error as BulkheadRejectedError).reason)).toEqual([
      "queue-timeout",
      "queue-timeout",
    ]);
    await clock.advance(80_000);
  });

  it("B5 a waiter that can no longer finish is not dispatched when its turn comes", async () => {
    const one = bulkhead({ concurrencyMax: 1 });
    await answersIn(clock, one, 200);
    const first = handWork();
    const run = one.run({ timeoutMs: 2_000 }, () => first.promise);
    let dispatched = false;
    const waiter = watch(one.run(() => (dispatched = true)));
    await clock.advance(400);
    first.resolve("");
    await run;
    await turn();
    expect(dispatched).toBe(false);
    expect(waiter.error).toMatchObject({ reason: "rejected-deadline" });
  });

  it("B5 a full LIFO queue refuses nobody for a newcomer that could not finish either", async () => {
    const one = bulkhead({ concurrencyMax: 1, queueMax: 1, queue: "lifo" });
    await answersIn(clock, one, 200);
    const first = handWork();
    const run = one.run(() => first.promise);
    const waiter = watch(one.run(() => "in time"));
    const doomed = watch(one.run({ timeoutMs: 5 }, hang));
    first.resolve("");
    await run;
    await turn();
    expect([waiter.value, doomed.error]).toMatchObject(["in time", { reason: "rejected-deadline" }]);
  });

  it("B5 the newest of a LIFO queue is next, however many wait", async () => {
    const one = bulkhead({ concurrencyMax: 1, queue: "lifo" });
    await answersIn(clock, one, 200);
    const first = handWork();
    const run = one.run(() => first.promise);
    const waiters = [1, 2, 3].map((name) => watch(one.run({ timeoutMs: 5_000 }, () => name)));
    // Starts in 200 ms and ends in 400, as if nobody waited.
    const newest = watch(one.run(() => "newest"));
    await turn();
    expect(newest.done).toBe(false);
    first.resolve("");
    await run;
    await turn();
    expect([newest.value, ...waiters.map(({ value }) => value)]).toEqual(["newest", 1, 2, 3]);
  });

  it("B5 the ambient deadline counts, and a call without time left is refused", async () => {
    const one = bulkhead();
    const late = watch(withAmbientDeadline(100, () => one.run(hang), clock));
    await clock.advance(100);
    expect(late.error).toMatchObject({ name: "CallTimeoutError", timeoutMs: 100 });
    const run = withAmbientDeadline(0, () => one.run(() => 1), clock);
    await expect(run).rejects.toMatchObject({ reason: "rejected-deadline" });
    await clock.advance(70_000);
  });
});
