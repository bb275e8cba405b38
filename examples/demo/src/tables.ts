/**
 * Owns how results look.
 */
import { styleText } from "node:util";
import { plain, type Cell, type ScenarioReport } from "@holdfast-examples/stage";
import Table from "cli-table3";

/** No lines between rows, and no colours but ours. */
const LOOK = {
  chars: { mid: "", "left-mid": "", "mid-mid": "", "right-mid": "" },
  style: { head: [], border: [] },
};

/** A scenario that was shown, or that could not be. */
export interface Shown {
  readonly name: string;
  readonly tookMs: number;
  readonly result: { readonly report: ScenarioReport } | { readonly error: unknown };
}

/** Whether Holdfast held. */
export function held({ result }: Shown): boolean {
  return "report" in result && result.report.problems.length === 0;
}

/** All sides of one scenario, with its notes and its problems. */
export function comparisonTable(report: ScenarioReport): string {
  const { usual, alsoUsual, holdfast } = report;
  const heads = ["", usual, ...(alsoUsual === undefined ? [] : [alsoUsual]), holdfast];
  const table = new Table({
    head: heads.map((head) => styleText("bold", head)),
    colAligns: heads.map((_, index) => (index === 0 ? "left" : "right")),
    ...LOOK,
  });
  for (const row of report.rows) {
    const cells = alsoUsual === undefined ? [row.usual] : [row.usual, row.alsoUsual ?? plain("–")];
    table.push([row.label, ...[...cells, row.holdfast].map(textOf)]);
  }
  const notes = report.notes.map((note) => styleText("dim", `- ${note}`));
  const problems = report.problems.map((problem) => styleText("red", `✗ ${problem}`));
  return [table.toString(), ...notes, ...problems].join("\n");
}

/** All scenarios, one line each. */
export function summaryTable(all: readonly Shown[]): string {
  const table = new Table({
    head: ["scenario", "the usual code", "with Holdfast", "", "took"].map((head) => styleText("bold", head)),
    colAligns: ["left", "left", "left", "left", "right"],
    ...LOOK,
  });
  for (const shown of all) {
    const { name, tookMs, result } = shown;
    const { usual, holdfast } = "report" in result ? result.report.verdict : { usual: "–", holdfast: "–" };
    const mark = held(shown) ? styleText("green", "✓ held") : styleText("red", "✗ failed");
    table.push([name, usual, holdfast, mark, `${(tookMs / 1000).toFixed(1)} s`]);
  }
  return table.toString();
}

function textOf({ text, tone }: Cell): string {
  if (tone === "plain") return text;
  return styleText(tone === "good" ? "green" : "red", text);
}
