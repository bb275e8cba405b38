import { describe, expect, it } from "vitest";
import { ManualClock } from "../src/index.ts";

const sleep = (clock: ManualClock, ms: number): Promise<void> =>
  new Promise((resolve) => {
    clock.setTimer(resolve, ms);
  });

describe("ManualClock", () => {
  it("fires timers in the order of their due times, each at its own time, and equal ones in the order they were set", async () => {
    const clock = new ManualClock({ monotonicMs: 100, wallMs: 5_000 });
    const fired: [string, number][] = [];
    for (const [name, delay] of [
      ["c", 30],
      ["a", 10],
      ["b1", 20],
      ["b2", 20],
      ["now", -5],
    ] as const) {
      clock.setTimer(() => fired.push([name, clock.monotonicMs()]), delay);
    }
    await clock.advance(25);
    expect(fired).toEqual([
      ["now", 100],
      ["a", 110],
      ["b1", 120],
      ["b2", 120],
    ]);
    expect([clock.monotonicMs(), clock.wallMs(), clock.pendingTimers]).toEqual([125, 5_025, 1]);
    await clock.advance(4);
    expect(fired).toHaveLength(4);
    await clock.advance(1);
    expect(fired.at(-1)).toEqual(["c", 130]);
  });

  it("lets promises settle between timers, so that a loop of sleeps runs as often as it would", async () => {
    const clock = new ManualClock();
    const seen: number[] = [];
    const loop = (async () => {
      for (let turn = 0; turn < 5; turn += 1) {
        await sleep(clock, 10);
        await Promise.resolve();
        seen.push(clock.monotonicMs());
      }
    })();
    await clock.advance(100);
    expect(seen).toEqual([10, 20, 30, 40, 50]);
    await loop;
  });

  it("fires no timer that was cleared, not even by another one that was due at the same moment", async () => {
    const clock = new ManualClock();
    const fired: string[] = [];
    const second = { handle: clock.setTimer(() => undefined, 1_000) };
    clock.setTimer(() => {
      fired.push("first");
      clock.clearTimer(second.handle);
    }, 10);
    clock.clearTimer(second.handle);
    second.handle = clock.setTimer(() => fired.push("second"), 10);
    await clock.advance(2_000);
    expect(fired).toEqual(["first"]);
    clock.clearTimer(second.handle);
    expect(clock.pendingTimers).toBe(0);
  });

  it("steps the wall clock alone", () => {
    const clock = new ManualClock({ wallMs: 1_000 });
    clock.stepWall(-400);
    expect([clock.wallMs(), clock.monotonicMs()]).toEqual([600, 0]);
  });

  it("refuses to go back", async () => {
    await expect(new ManualClock().advance(-1)).rejects.toThrow(RangeError);
    await expect(new ManualClock().advance(Number.NaN)).rejects.toThrow(RangeError);
  });
});
