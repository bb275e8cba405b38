/** `pnpm chaos`: round after round until the time is over, with a page and a machine-readable history of each. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runProgram } from "@holdfast-examples/stage/program";
import type { Screen } from "@holdfast-examples/stage/screen";
import { random } from "@holdfast/testkit";
import Table from "cli-table3";
import { readCommandLine } from "./command-line.ts";
import type { ChaosOptions } from "./command-line.ts";
import { canStepClocks, nemeses } from "./faults/deck.ts";
import type { Ground } from "./faults/nemesis.ts";
import type { TopologyName } from "./history/record.ts";
import { pageOf, roundSection } from "./report/page.ts";
import { runSummaryOf, summaryOf } from "./report/summary.ts";
import type { RoundSummary, RunSummary } from "./report/summary.ts";
import { scenarioNames } from "./scenarios/catalog.ts";
import { playRound } from "./world/round.ts";

interface Stage {
  readonly topology: TopologyName;
  readonly ground: Ground;
}

/** Steps of the clock are for one server: those of a group would have to differ. */
function stagesOf({ topologies, grounds }: ChaosOptions, stepsClocks: boolean): Stage[] {
  return topologies.flatMap((topology) =>
    grounds
      .filter((ground) => ground !== "steps-clock" || (topology === "single" && stepsClocks))
      .map((ground) => ({ topology, ground })),
  );
}

async function play(options: ChaosOptions, screen: Screen, signal: AbortSignal): Promise<RunSummary> {
  const folder = options.folder ?? join(import.meta.dirname, "../.reports/chaos", `seed-${options.seed}`);
  await mkdir(folder, { recursive: true });
  const stepsClocks = await canStepClocks();
  if (!stepsClocks) screen.say("no C compiler named cc: clocks are not stepped");
  const stages = random(options.seed).shuffle(stagesOf(options, stepsClocks));
  const untilMs = performance.now() + options.minutes * 60_000;
  const rounds: RoundSummary[] = [];
  const sections: string[] = [];
  const goesOn = (): boolean =>
    options.rounds === undefined ? rounds.length === 0 || performance.now() < untilMs : rounds.length < options.rounds;
  while (goesOn()) {
    const stage = stages[rounds.length % stages.length];
    if (stage === undefined) throw new RangeError("no topology fits this ground");
    const seed = options.rounds === 1 ? options.seed : `${options.seed}.${rounds.length + 1}`;
    const { modules, pods, faultsMs } = options;
    const plan = {
      ...stage,
      seed,
      modules,
      pods,
      faultsMs,
      nemeses: options.nemeses,
      folder: join(folder, `round-${rounds.length + 1}`),
    };
    const name = `round ${rounds.length + 1}: ${stage.topology}, ${stage.ground}, seed ${seed}`;
    const result = await playRound(plan, (words) => screen.show([`${name}: ${words}`]), signal);
    const summary = summaryOf(result);
    rounds.push(summary);
    sections.push(roundSection(result, summary));
    tell(screen, name, summary);
    await writeFile(join(folder, "report.html"), pageOf(runSummaryOf(options.seed, rounds), sections));
    await writeFile(join(folder, "summary.json"), `${JSON.stringify(runSummaryOf(options.seed, rounds), null, 2)}\n`);
  }
  screen.say(`report: ${join(folder, "report.html")}`);
  return runSummaryOf(options.seed, rounds);
}

function tell(screen: Screen, name: string, { broken, calls, rules, tookMs, repeat }: RoundSummary): void {
  const words = `${calls.ok} ok, ${calls.refused} refused, ${calls.unknown} unknown, ${(tookMs / 1_000).toFixed(0)} s`;
  screen.say(`${broken.length === 0 ? "✓" : "✗"} ${name}: ${rules - broken.length} of ${rules} rules held (${words})`);
  for (const { scenario, rule, violations } of broken) {
    screen.say(`  ${scenario}: ${rule}`);
    for (const violation of violations) screen.say(`    ${violation}`);
  }
  if (broken.length > 0) screen.say(`  again: ${repeat}`);
}

function tableOf({ witnesses }: RunSummary): string {
  const table = new Table({
    head: ["nemesis", "strikes", "hit work", "calls under way", "counted"],
    style: { head: [] },
  });
  for (const { nemesis, strikes, struckWork, calls, hits } of witnesses)
    table.push([nemesis, strikes, struckWork, calls, hits ?? ""]);
  return table.toString();
}

process.exitCode = await runProgram(async (screen, signal) => {
  const options = readCommandLine(process.argv.slice(2));
  if (options.list) {
    screen.say(`scenarios: ${scenarioNames.join(", ")}`);
    for (const { name, lane, ground, topologies } of nemeses)
      screen.say(`${name}  ${lane}, ${ground}, ${topologies.join(", ")}`);
    return 0;
  }
  const summary = await play(options, screen, signal);
  screen.say(tableOf(summary));
  if (summary.idle.length > 0) screen.say(`hit no work in flight: ${summary.idle.join(", ")}`);
  screen.say(`${summary.held ? "held" : "DID NOT HOLD"}: ${summary.rounds.length} rounds, seed ${summary.seed}`);
  return summary.held ? 0 : 1;
});
process.exit();
