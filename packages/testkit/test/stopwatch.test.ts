import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { Stopwatch } from "../src/index.ts";

function standStill(ms: number): void {
  const untilMs = performance.now() + ms;
  while (performance.now() < untilMs) Math.sqrt(untilMs);
}

describe("Stopwatch", () => {
  it("counts a stand-still as elapsed, and hardly as time in which the process ran", async () => {
    using watch = Stopwatch.start();
    standStill(400);
    expect(watch.elapsedMs).toBeGreaterThanOrEqual(400);
    expect(watch.ranMs).toBeLessThanOrEqual(50);
    await delay(0);
    standStill(400);
    await delay(0);
    expect(watch.elapsedMs).toBeGreaterThanOrEqual(800);
    // At most 50 ms of each of the few turns.
    expect(watch.ranMs).toBeLessThan(watch.elapsedMs - 400);
  });

  it("counts time that was waited for", async () => {
    using watch = Stopwatch.start();
    while (watch.ranMs < 100) await delay(1);
    const { ranMs } = watch;
    expect(watch.elapsedMs).toBeGreaterThanOrEqual(ranMs);
  });
});
