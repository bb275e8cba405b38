import { cellsOf, rehearse } from "@holdfast-examples/stage";
import { describe, expect, it } from "vitest";
import { flashSale } from "../src/index.ts";

describe("the scenario", () => {
  it("sells every unit once with the inventory, and its ledger has them alike; the usual shops do not manage", async () => {
    const report = await rehearse(flashSale);
    expect(report.problems).toEqual([]);
    const row = (label: string): string[] => cellsOf(report, label).map(({ text }) => text);
    expect(row("units sold")).toEqual([expect.anything(), expect.anything(), "40"]);
    expect(row("sold and never there")).toEqual([expect.stringMatching(/^[1-9]/), "0", "0"]);
    expect(row("neither sold nor on the shelf")).toEqual([expect.anything(), expect.stringMatching(/^[1-9]/), "0"]);
    expect(row("charged, and told that it is sold out")[2]).toBe("0");
    expect(row("orders that the ledger does not have alike")).toEqual(["no ledger", "no ledger", "0"]);
  });

  it("stops everything when the signal aborts in the middle", async () => {
    const stop = new AbortController();
    const running = rehearse(flashSale, {
      signal: stop.signal,
      show: (lines) => {
        if (lines.some((line) => /[1-9]\d* of 40 paid/u.test(line))) stop.abort(new Error("enough"));
      },
    });
    await expect(running).rejects.toThrow("enough");
  });
});
