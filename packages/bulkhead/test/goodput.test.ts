import { Pod } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { Bulkhead } from "../src/index.ts";
import type { BulkheadOptions } from "../src/index.ts";
import { simulate } from "./simulation.ts";

const adaptive: BulkheadOptions = { adaptive: { concurrencyMin: 4, concurrencyMax: 64 } };
const seeds = [1, 2, 3, 4, 5];

describe("80 → 380 ms at 100 calls per second and 12 permits, simulated", () => {
  it.each(["fifo", "lifo"] as const)(
    "%s: a merely slower dependency is followed, with three of four calls in time and the breaker closed",
    async (queue) => {
      for (const seed of seeds) {
        const run = await simulate(seed, { ...adaptive, queue }, "slower");
        expect(run.goodput, `seed ${seed}`).toBeGreaterThanOrEqual(0.75);
        expect(run.opened).toBe(0);
        expect(run.longestMs).toBeLessThanOrEqual(500);
      }
    },
  );

  it("counter-test: with a fixed limit two of three calls are refused, though the breaker stays closed", async () => {
    const run = await simulate(1, {}, "slower");
    expect(run.goodput).toBeLessThan(0.35);
    expect(run.opened).toBe(0);
  });

  it.each(["fifo", "lifo"] as const)(
    "%s: a saturated dependency is not pushed further, and is used about as well as by the best fixed limit",
    async (queue) => {
      const shares: number[] = [];
      for (const seed of seeds) {
        const fixed = await Promise.all(
          [8, 12, 16].map((concurrencyMax) => simulate(seed, { concurrencyMax, queue }, "saturated")),
        );
        const run = await simulate(seed, { ...adaptive, queue }, "saturated");
        shares.push(run.goodput / Math.max(...fixed.map(({ goodput }) => goodput)));
        expect(run.opened).toBe(0);
      }
      // Each trial of a higher limit costs a moment, and now and then chance lets one pass.
      const ordered = shares.toSorted((a, b) => a - b);
      expect(ordered[0]).toBeGreaterThanOrEqual(0.6);
      expect(ordered[2]).toBeGreaterThanOrEqual(0.9);
    },
  );

  it("counter-test: sixteen permits for a dependency with twelve places are worse than twelve", async () => {
    const [twelve, sixteen] = await Promise.all(
      [12, 16].map((concurrencyMax) => simulate(1, { concurrencyMax }, "saturated")),
    );
    expect(sixteen?.goodput).toBeLessThan((twelve?.goodput ?? 0) * 0.7);
  });
});

describe("80 → 380 ms, a dependency in a process of its own", () => {
  it("goodput of at least 75 % when it is merely slower, and no less than a fixed limit when it is saturated", async () => {
    await using dependency = await Pod.start(new URL("./dependency.pod.ts", import.meta.url));
    const { port } = await dependency.ready<{ port: number }>();
    const settings: BulkheadOptions = { concurrencyMax: 12, timeoutMs: 500, queue: "lifo", breaker: {} };
    const load = async (
      path: string,
      options: BulkheadOptions,
    ): Promise<{ goodput: number; state: string; longestMs: number }> => {
      const one = new Bulkhead(path, { ...settings, ...options });
      const seen = { offered: 0, good: 0, longestMs: 0 };
      const call = async (counts: boolean): Promise<void> => {
        const startMs = performance.now();
        if (counts) seen.offered += 1;
        const answered = await one
          .run(({ signal }) =>
            fetch(`http://127.0.0.1:${port}/${path}`, { signal }).then((response) => response.text()),
          )
          .then(
            () => true,
            () => false,
          );
        const tookMs = performance.now() - startMs;
        seen.longestMs = Math.max(seen.longestMs, tookMs);
        if (counts && answered && tookMs <= 500) seen.good += 1;
      };
      const calls: Promise<void>[] = [];
      const beginMs = performance.now();
      for (let index = 0; index < 23 * 100; index += 1) {
        if (index === 300) await dependency.request("slow", path);
        // Fixed arrivals: late ones are made up for.
        const dueMs = beginMs + index * 10;
        if (performance.now() < dueMs) await new Promise((resolve) => setTimeout(resolve, dueMs - performance.now()));
        calls.push(call(index >= 300));
      }
      await Promise.all(calls);
      return { goodput: seen.good / seen.offered, state: one.snapshot().state, longestMs: seen.longestMs };
    };
    const [slower, saturated, fixed] = await Promise.all([
      load("slower", adaptive),
      load("saturated-a", adaptive),
      load("saturated-b", {}),
    ]);
    expect(slower.goodput).toBeGreaterThanOrEqual(0.75);
    expect(slower.state).toBe("closed");
    // The timers of a busy machine are late.
    expect(slower.longestMs).toBeLessThan(1_000);
    expect(saturated.goodput).toBeGreaterThanOrEqual(0.7 * fixed.goodput);
  });
});
