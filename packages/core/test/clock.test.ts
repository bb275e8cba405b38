/** The clock of this process: when it calls back, and when it does not. */
import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { sleep, systemClock } from "../src/index.ts";

/** How early, in milliseconds, a wait ends that begins at some moment between two whole milliseconds; 0 or below is not early. */
async function earlyMs(wait: (delayMs: number) => Promise<void>): Promise<number> {
  let worstMs = -Infinity;
  for (let round = 0; round < 100; round += 1) {
    const beginMs = performance.now() + (round % 10) / 10;
    while (performance.now() < beginMs) await turn();
    const startedMs = performance.now();
    await wait(2);
    worstMs = Math.max(worstMs, 2 - (performance.now() - startedMs));
  }
  return worstMs;
}

describe("the system's clock", () => {
  it("K1 calls nobody back before the delay has passed, so no caller gives up ahead of the bound in server time", async () => {
    expect(await earlyMs((delayMs) => sleep(systemClock, delayMs))).toBeLessThanOrEqual(0);
  });

  it("counter-test: a timeout of Node's ends early", async () => {
    // A busy machine makes each of them late for a while.
    let worstMs = -Infinity;
    for (let tries = 0; worstMs <= 0 && tries < 100; tries += 1) {
      worstMs = await earlyMs((delayMs) => new Promise((resolve) => setTimeout(resolve, delayMs)));
    }
    expect(worstMs).toBeGreaterThan(0);
  }, 120_000);

  it("does not call back what was disarmed, nor, at once, what is due in months", async () => {
    const called: string[] = [];
    const months = systemClock.setTimer(() => called.push("months"), 90 * 86_400_000, true);
    const disarmed = systemClock.setTimer(() => called.push("disarmed"), 1);
    systemClock.clearTimer(disarmed);
    await sleep(systemClock, 5);
    expect(called).toEqual([]);
    systemClock.clearTimer(months);
    systemClock.clearTimer(months);
  });
});
