/** Many deadlines of one length on one timer. */
import { ManualClock } from "@holdfast/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ambientRemainingMs, Deadline, DeadlineList, deadlineListOf, withAmbientDeadline } from "../src/index.ts";

describe("a list of deadlines", () => {
  it("calls each back once, at its time and in order, whatever is added and cancelled in between", async () => {
    const step = fc.record({
      kind: fc.constantFrom("add", "add-earlier", "cancel", "advance"),
      by: fc.nat(40),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const clock = new ManualClock({ monotonicMs: 1_000 });
        const list = new DeadlineList(clock, 100);
        const entries: { atMs: number; firedAtMs: number[]; cancelled: boolean; cancel: () => void }[] = [];
        for (const { kind, by } of steps) {
          if (kind === "advance") await clock.advance(by);
          else if (kind === "cancel") {
            const entry = entries[by % Math.max(entries.length, 1)];
            entry?.cancel();
            if (entry?.firedAtMs.length === 0) entry.cancelled = true;
          } else {
            const startMs = clock.monotonicMs() - (kind === "add-earlier" ? by : 0);
            const entry = { atMs: startMs + 100, firedAtMs: [] as number[], cancelled: false, cancel: () => undefined };
            const made = list.add(() => void entry.firedAtMs.push(clock.monotonicMs()), startMs);
            entries.push(Object.assign(entry, { cancel: () => made.cancel() }));
          }
        }
        await clock.advance(200);
        for (const { atMs, firedAtMs, cancelled } of entries) expect(firedAtMs).toEqual(cancelled ? [] : [atMs]);
        expect(clock.pendingTimers).toBe(0);
      }),
      { numRuns: 200 },
    );
  });

  it("uses one timer for ten thousand deadlines", () => {
    const clock = new ManualClock();
    const list = new DeadlineList(clock, 100);
    for (let index = 0; index < 10_000; index += 1) list.add(() => undefined);
    expect(clock.pendingTimers).toBe(1);
  });

  it("fires an earlier deadline in time although the timer was armed for a later one", async () => {
    const clock = new ManualClock();
    const list = new DeadlineList(clock, 100);
    const fired: string[] = [];
    list.add(() => fired.push("later"), 50);
    list.add(() => fired.push("earlier"), 0);
    await clock.advance(100);
    expect(fired).toEqual(["earlier"]);
    await clock.advance(50);
    expect(fired).toEqual(["earlier", "later"]);
  });

  it("goes on after a callback that throws", async () => {
    const clock = new ManualClock();
    const list = new DeadlineList(clock, 100);
    const fired: number[] = [];
    list.add(() => {
      throw new Error("broke");
    });
    list.add(() => fired.push(1));
    await expect(clock.advance(100)).rejects.toThrow("broke");
    await clock.advance(1);
    expect(fired).toEqual([1]);
  });

  it("takes what a callback adds and cancels", async () => {
    const clock = new ManualClock();
    const list = new DeadlineList(clock, 100);
    const fired: string[] = [];
    list.add(() => {
      fired.push("first");
      fourth.cancel();
      list.add(() => fired.push("third"));
    });
    list.add(() => fired.push("second"));
    const fourth = list.add(() => fired.push("fourth"));
    await clock.advance(100);
    expect(fired).toEqual(["first", "second"]);
    await clock.advance(100);
    expect(fired).toEqual(["first", "second", "third"]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("gives the timer of a long deadline back with the last entry", () => {
    const clock = new ManualClock();
    const list = deadlineListOf(clock, 86_400_000);
    const entries = [list.add(() => undefined), list.add(() => undefined)];
    entries[0]?.cancel();
    expect(clock.pendingTimers).toBe(1);
    entries[1]?.cancel();
    entries[1]?.cancel();
    expect(clock.pendingTimers).toBe(0);
  });

  it("is shared per clock and duration, and forgotten when it is idle, so that odd durations do not pile up", async () => {
    const clock = new ManualClock();
    expect(deadlineListOf(clock, 100)).toBe(deadlineListOf(clock, 100));
    expect(deadlineListOf(clock, 100)).not.toBe(deadlineListOf(clock, 200));
    expect(deadlineListOf(clock, 100)).not.toBe(deadlineListOf(new ManualClock(), 100));
    const list = deadlineListOf(clock, 100);
    list.add(() => undefined).cancel();
    await clock.advance(100);
    expect(deadlineListOf(clock, 100)).not.toBe(list);
    const long = deadlineListOf(clock, 60_000.5);
    long.add(() => undefined).cancel();
    expect(deadlineListOf(clock, 60_000.5)).not.toBe(long);
  });

  it("takes an object of the caller's, again after it was taken out or has fired, and never in two lists", async () => {
    const clock = new ManualClock();
    const fired: number[] = [];
    class Own extends Deadline {
      onDeadline(): void {
        fired.push(clock.monotonicMs());
      }
    }
    const startMs = clock.monotonicMs();
    const own = new Own();
    const [short, long] = [new DeadlineList(clock, 100), new DeadlineList(clock, 1_000)];
    long.start(own, startMs);
    short.start(own, startMs);
    await clock.advance(100);
    expect(fired).toEqual([startMs + 100]);
    short.start(own, clock.monotonicMs());
    own.cancel();
    own.cancel();
    await clock.advance(50);
    short.start(own, clock.monotonicMs());
    await clock.advance(2_000);
    expect(fired).toEqual([startMs + 100, startMs + 250]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("carries nobody's ambient deadline", async () => {
    const clock = new ManualClock();
    const remaining: number[] = [];
    withAmbientDeadline(
      5,
      () => deadlineListOf(clock, 100).add(() => void remaining.push(ambientRemainingMs())),
      clock,
    );
    await clock.advance(100);
    expect(remaining).toEqual([Infinity]);
  });
});
