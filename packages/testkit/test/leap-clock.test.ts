import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { LeapClock } from "../src/index.ts";

describe("LeapClock", () => {
  it("runs by itself, and both of its times leap together", async () => {
    const clock = new LeapClock();
    const hourMs = 3_600_000;
    clock.leap(hourMs);
    const [monotonicMs, wallMs] = [performance.now(), Date.now()];
    expect(clock.monotonicMs()).toBeGreaterThanOrEqual(monotonicMs + hourMs);
    expect(clock.wallMs()).toBeGreaterThanOrEqual(wallMs + hourMs);
    const [laterMs, laterWallMs] = [clock.monotonicMs(), clock.wallMs()];
    expect(laterMs).toBeLessThanOrEqual(performance.now() + hourMs);
    expect(laterWallMs).toBeLessThanOrEqual(Date.now() + hourMs);
    const before = clock.monotonicMs();
    await new Promise<void>((resolve) => clock.setTimer(resolve, 5));
    expect(clock.monotonicMs() - before).toBeGreaterThanOrEqual(5);
  });

  it("fires what a leap has passed, soon after it and in order, and nothing else", async () => {
    const clock = new LeapClock();
    const fired: string[] = [];
    clock.setTimer(() => fired.push("last"), 600_000);
    const disarmed = clock.setTimer(() => fired.push("disarmed"), 1_000);
    const both = new EventTarget();
    clock.setTimer(() => {
      fired.push("second");
      both.dispatchEvent(new Event("fired"));
    }, 50_000);
    clock.setTimer(() => fired.push("first"), 20_000);
    const second = once(both, "fired");
    clock.clearTimer(disarmed);
    clock.leap(60_000);
    expect(fired).toEqual([]);
    await second;
    expect(fired).toEqual(["first", "second"]);
  });

  it("does not go back", () => {
    expect(() => new LeapClock().leap(-1)).toThrow(RangeError);
    expect(() => new LeapClock().leap(Number.NaN)).toThrow(RangeError);
  });
});
