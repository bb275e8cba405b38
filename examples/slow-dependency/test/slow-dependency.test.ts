import { cellsOf, rehearse } from "@holdfast-examples/stage";
import { describe, expect, it } from "vitest";
import { slowDependency } from "../src/index.ts";

describe("the scenario", () => {
  it("starves the pool and the breaker around it, and holds with bulkheads", { timeout: 90_000 }, async () => {
    const shown: string[] = [];
    const report = await rehearse(slowDependency, { show: (lines) => void shown.push(...lines) });
    expect(report.problems).toEqual([]);
    // What the bulkheads hold is among the problems, unless the machine stood still; that the others do not hold shows on any machine.
    const tones = (label: string): string[] => cellsOf(report, label).map(({ tone }) => tone);
    expect(tones("openings of its breaker").slice(0, 2)).toEqual(["plain", "bad"]);
    expect(tones("profiles, healthy").slice(0, 2)).toEqual(["bad", "bad"]);
    expect(tones("longest wait")[0]).toBe("bad");
    expect(shown).toContainEqual(expect.stringMatching(/^ {2}bulkhead +payments in time \d+ %/u));
  });

  it("stops everything when the signal aborts in the middle", { timeout: 60_000 }, async () => {
    const stop = new AbortController();
    const running = rehearse(slowDependency, { signal: stop.signal, show: () => stop.abort(new Error("enough")) });
    await expect(running).rejects.toThrow("enough");
  });
});
