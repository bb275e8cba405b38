import { cellsOf, rehearse } from "@holdfast-examples/stage";
import { describe, expect, it } from "vitest";
import { zombieSubtasks } from "../src/index.ts";

describe("the scenario", () => {
  it("leaves work behind with a race, and only what does not listen with a scope", async () => {
    const report = await rehearse(zombieSubtasks);
    expect(report.problems).toEqual([]);
    const row = (label: string): string[] => cellsOf(report, label).map(({ text }) => text);
    // 60 recommendations and the three subtasks that do not listen.
    expect(row("subtasks that ran on")).toEqual(["63", "3"]);
    expect(row("of them, nobody knows of")).toEqual(["63", "0"]);
    expect(row("all quiet")[0]).toMatch(/^[4-9]\.\d s$/u);
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
