import { cellsOf, rehearse } from "@holdfast-examples/stage";
import { describe, expect, it } from "vitest";
import { scaledScheduler } from "../src/index.ts";

describe("the scenario", () => {
  it("mails customers again and again with crons, and once an hour with the scheduler", async () => {
    const report = await rehearse(scaledScheduler);
    expect(report.problems).toEqual([]);
    const row = (label: string): string[] => cellsOf(report, label).map(({ text }) => text);
    expect(row("mails due")).toEqual(["20", "20"]);
    expect(row("mails sent")[1]).toBe("20");
    expect(row("customers mailed more than once")).toEqual([expect.stringMatching(/^[1-9]/), "0"]);
    expect(row("customers not mailed")[1]).toBe("0");
  });

  it("stops everything when the signal aborts in the middle", async () => {
    const stop = new AbortController();
    const running = rehearse(scaledScheduler, {
      signal: stop.signal,
      say: (line) => {
        if (line.includes("is killed")) stop.abort(new Error("enough"));
      },
    });
    await expect(running).rejects.toThrow("enough");
  });
});
