import { cellsOf, rehearse, watchStandStill } from "@holdfast-examples/stage";
import { describe, expect, it } from "vitest";
import { zombieSubtasks } from "../src/index.ts";

describe("the scenario", () => {
  it("leaves work behind with a race, and only what does not listen with a scope", async () => {
    const stoodStillMs = watchStandStill();
    const report = await rehearse(zombieSubtasks);
    expect(report.problems).toEqual([]);
    const row = (label: string): string[] => cellsOf(report, label).map(({ text }) => text);
    // Of 60 recommendations and the three subtasks that do not listen; some may have ended while the machine stood still.
    const [raced, scoped] = row("subtasks that ran on").map(Number);
    expect(raced).toBeGreaterThan(30);
    expect([1, 2, 3]).toContain(scoped);
    expect(row("of them, nobody knows of")).toEqual([String(raced), "0"]);
    const [quiet = ""] = row("all quiet");
    const quietMs = Number.parseFloat(quiet) * (quiet.endsWith(" ms") ? 1 : 1_000);
    expect(quietMs + stoodStillMs()).toBeGreaterThan(4_000);
  });

  it("stops everything when the signal aborts in the middle", async () => {
    const stop = new AbortController();
    const running = rehearse(zombieSubtasks, {
      signal: stop.signal,
      show: (lines) => {
        if (lines.length > 0) stop.abort(new Error("enough"));
      },
    });
    await expect(running).rejects.toThrow("enough");
  });
});
