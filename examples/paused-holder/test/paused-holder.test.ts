import { cellsOf, rehearse } from "@holdfast-examples/stage";
import { describe, expect, it } from "vitest";
import { pausedHolder } from "../src/index.ts";

describe("the scenario", () => {
  it("corrupts the ledger with the usual lock, and refuses every stale write with the fenced one", async () => {
    const said: string[] = [];
    const report = await rehearse(pausedHolder, { say: (line) => said.push(line) });
    expect(report.problems).toEqual([]);
    const row = (label: string): string[] => cellsOf(report, label).map(({ text }) => text);
    expect(row("postings reported as done")).toEqual(["16", "16"]);
    expect(row("stale writes accepted")).toEqual(["16", "0"]);
    expect(row("stale writes refused by PostgreSQL")).toEqual(["0", "8"]);
    expect(row("stale writes refused by Redis")).toEqual(["0", "8"]);
    expect(row("updates lost in the ledger")).toEqual([expect.stringMatching(/^[1-9]/), "0"]);
    expect(row("wrong balances shown to customers")).toEqual([expect.stringMatching(/^[1-9]/), "0"]);
    expect(row("knew before the write that the lock was lost")[1]).toBe("8 of 8");
    expect(said.filter((line) => line.includes("is stopped for"))).toHaveLength(4);
  });

  it("stops everything when the signal aborts in the middle", async () => {
    const stop = new AbortController();
    const running = rehearse(pausedHolder, {
      signal: stop.signal,
      say: (line) => {
        if (line.includes("round 1")) stop.abort(new Error("enough"));
      },
    });
    await expect(running).rejects.toThrow("enough");
  });
});
