import { stripVTControlCharacters } from "node:util";
import { plain, wantedZero, type ScenarioReport } from "@holdfast-examples/stage";
import { describe, expect, it } from "vitest";
import { comparisonTable } from "../src/tables.ts";

const report: ScenarioReport = {
  usual: "GET, DECR",
  holdfast: "inventory",
  rows: [{ label: "oversold", usual: wantedZero(31), alsoUsual: wantedZero(7), holdfast: wantedZero(0) }],
  verdict: { usual: "", holdfast: "" },
  notes: [],
  problems: [],
};

function linesOf(shown: ScenarioReport): string[] {
  return stripVTControlCharacters(comparisonTable(shown)).split("\n");
}

describe("the table of a scenario", () => {
  it("has a column for each side", () => {
    const lines = linesOf(report);
    expect(lines).toContainEqual(expect.stringMatching(/│ +│ GET, DECR │ inventory │/u));
    expect(lines).toContainEqual(expect.stringMatching(/│ oversold │ +31 │ +0 │/u));
  });

  it("has another one for a second usual way, with a dash where that has no figure", () => {
    const rows = [...report.rows, { label: "sold", usual: plain(231), holdfast: plain(200) }];
    const lines = linesOf({ ...report, alsoUsual: "Lua", rows });
    expect(lines).toContainEqual(expect.stringMatching(/│ +│ GET, DECR │ +Lua │ inventory │/u));
    expect(lines).toContainEqual(expect.stringMatching(/│ oversold │ +31 │ +7 │ +0 │/u));
    expect(lines).toContainEqual(expect.stringMatching(/│ sold +│ +231 │ +– │ +200 │/u));
  });
});
