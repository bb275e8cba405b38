/** The demo with scenarios whose ends are known: Holdfast holds, does not hold, or the scenario cannot be shown. */
import type { Scenario, ScenarioReport } from "@holdfast-examples/stage";
import { runDemo } from "../src/demo.ts";

function scenario(name: string, run: () => Promise<ScenarioReport>): Scenario {
  return { name, failure: "something fails", holds: ["@holdfast/timer"], run };
}

function report(problems: readonly string[]): ScenarioReport {
  const verdict = { usual: "1 of 1 stuck", holdfast: `${problems.length} of 1 stuck` };
  return { usual: "in memory", holdfast: "durable", rows: [], verdict, notes: [], problems };
}

process.exitCode = await runDemo(process.argv.slice(2), [
  scenario("holds", async () => report([])),
  scenario("stuck", async () => report(["durable: 1 orders are stuck"])),
  scenario("broken", () => Promise.reject(new Error("no replica became ready"))),
]);
