/** The deadline that work carries along. */
import { AsyncLocalStorage } from "node:async_hooks";
import { ManualClock } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import {
  ambientDeadline,
  ambientRemainingMs,
  sleep,
  systemClock,
  withAmbientDeadline,
  withinAmbientDeadline,
  withoutAmbientDeadline,
} from "../src/index.ts";

describe("the ambient deadline", () => {
  it("is carried through awaits, timers and callbacks, and ends with its function", async () => {
    const clock = new ManualClock();
    expect([ambientDeadline(), ambientRemainingMs()]).toEqual([undefined, Infinity]);
    const work = withAmbientDeadline(
      100,
      async () => {
        const before = ambientRemainingMs();
        await sleep(clock, 30);
        return [before, ambientRemainingMs()];
      },
      clock,
    );
    expect(ambientRemainingMs()).toBe(Infinity);
    await clock.advance(30);
    expect(await work).toEqual([100, 70]);
  });

  it("is shortened by an inner one and never lengthened", () => {
    const clock = new ManualClock();
    const inner = (timeoutMs: number): number =>
      withAmbientDeadline(100, () => withAmbientDeadline(timeoutMs, ambientRemainingMs, clock), clock);
    expect([inner(50), inner(100), inner(500), inner(Infinity)]).toEqual([50, 100, 100, 100]);
  });

  it("has nothing left, and not less, when it has passed", async () => {
    const clock = new ManualClock();
    await withAmbientDeadline(
      10,
      async () => {
        await clock.advance(50);
        expect(ambientRemainingMs()).toBe(0);
      },
      clock,
    );
  });

  it("of an owner is in force with the stores of others, and is put back as it was, also when the function throws", async () => {
    const clock = new ManualClock();
    const outer = { atMs: 100, clock, outer: undefined };
    const inner = { atMs: 50, clock, outer };
    const span = new AsyncLocalStorage<string>();
    const seen: unknown[] = [];
    const look = (label: string): void => {
      seen.push([label, ambientDeadline()?.atMs, span.getStore()]);
    };
    await span.run("request", () =>
      withinAmbientDeadline(
        outer,
        async (argument) => {
          look(argument);
          const fails = (): never =>
            withinAmbientDeadline(
              inner,
              () => {
                look("inner");
                throw new Error("no");
              },
              undefined,
            );
          expect(fails).toThrow("no");
          look("after it threw");
          const later = withinAmbientDeadline(
            inner,
            () => Promise.resolve().then(() => look("inner, later")),
            undefined,
          );
          look("beside it");
          await later;
          look("outer, later");
        },
        "outer",
      ),
    );
    look("outside");
    expect(seen).toEqual([
      ["outer", 100, "request"],
      ["inner", 50, "request"],
      ["after it threw", 100, "request"],
      ["beside it", 100, "request"],
      ["inner, later", 50, "request"],
      ["outer, later", 100, "request"],
      ["outside", undefined, undefined],
    ]);
  });

  it("is left behind by background work", () => {
    withAmbientDeadline(10, () => expect(withoutAmbientDeadline(ambientRemainingMs)).toBe(Infinity));
  });
});

describe("a sleep", () => {
  it("ends in time, not before, and leaves no listener and no timer", async () => {
    const clock = new ManualClock();
    const { signal } = new AbortController();
    let awake = false;
    void sleep(clock, 50, signal).then(() => {
      awake = true;
    });
    await clock.advance(49);
    expect(awake).toBe(false);
    await clock.advance(1);
    expect([awake, clock.pendingTimers]).toEqual([true, 0]);
  });

  it("rejects with the reason at once when its signal aborts, or has aborted", async () => {
    const clock = new ManualClock();
    const controller = new AbortController();
    const sleeping = sleep(clock, 50, controller.signal);
    const reason = new Error("enough");
    controller.abort(reason);
    await expect(sleeping).rejects.toBe(reason);
    await expect(sleep(clock, 50, controller.signal)).rejects.toBe(reason);
    expect(clock.pendingTimers).toBe(0);
  });

  it("is never shorter than asked by the monotonic clock, fractions included", async () => {
    for (const delayMs of [0.5, 1.9, 3.7, 5.01]) {
      const startMs = systemClock.monotonicMs();
      await sleep(systemClock, delayMs);
      expect(systemClock.monotonicMs() - startMs).toBeGreaterThan(delayMs - 1);
    }
  });

  it("of months does not end at once", async () => {
    const controller = new AbortController();
    const sleeping = sleep(systemClock, 90 * 86_400_000, controller.signal);
    const first = await Promise.race([sleeping.then(() => "slept"), sleep(systemClock, 20).then(() => "still asleep")]);
    expect(first).toBe("still asleep");
    controller.abort(new Error("enough"));
    await expect(sleeping).rejects.toThrow("enough");
  });
});
