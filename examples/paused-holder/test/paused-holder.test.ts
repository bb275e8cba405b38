import { StageServers } from "@holdfast-examples/stage";
import { describe, expect, it } from "vitest";
import { pausedHolder } from "../src/index.ts";

describe("the scenario", () => {
  it("corrupts the ledger with the usual lock, and refuses every stale write with the fenced one", async () => {
    await using servers = new StageServers();
    const said: string[] = [];
    const report = await pausedHolder.run({
      signal: new AbortController().signal,
      quick: true,
      seed: 7,
      servers,
      say: (line) => said.push(line),
      show: () => undefined,
    });
    expect(report.problems).toEqual([]);
    const row = (label: string): unknown[] => {
      const found = report.rows.find((one) => one.label === label);
      return [found?.usual.text, found?.holdfast.text];
    };
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
    await using servers = new StageServers();
    const stop = new AbortController();
    const running = pausedHolder.run({
      signal: stop.signal,
      quick: true,
      seed: 7,
      servers,
      say: (line) => {
        if (line.includes("round 1")) stop.abort(new Error("enough"));
      },
      show: () => undefined,
    });
    await expect(running).rejects.toThrow("enough");
  });
});
