/** Owns what can be asked of `pnpm chaos`. */
import { pathToFileURL } from "node:url";
import { parseWords, positive, wholeFrom } from "@holdfast-examples/stage/program";
import { Command, InvalidArgumentError, Option } from "commander";
import { nemeses } from "./faults/deck.ts";
import type { Ground } from "./faults/nemesis.ts";
import type { TopologyName } from "./history/record.ts";
import { moduleOf, scenarioNames } from "./scenarios/catalog.ts";
import type { ScenarioName } from "./scenarios/catalog.ts";

/** What was asked. */
export interface ChaosOptions {
  readonly minutes: number;
  /** Exactly so many rounds; by the clock when undefined. */
  readonly rounds: number | undefined;
  readonly seed: string;
  readonly topologies: readonly TopologyName[];
  readonly grounds: readonly Ground[];
  /** Addresses of the modules with the scenarios. */
  readonly modules: readonly string[];
  readonly nemeses: readonly string[];
  readonly pods: number;
  readonly faultsMs: number;
  /** Where reports go; a new folder in `.reports/chaos` when undefined. */
  readonly folder: string | undefined;
  readonly list: boolean;
}

const topologyNames: readonly TopologyName[] = ["single", "sentinel", "cluster"];
const groundNames: readonly Ground[] = ["solid", "forgets", "steps-clock"];

const afterHelp = `
A round starts servers and pods, lets faults happen while the pods work, heals, and checks the history. Rounds go on until the time is
over, each with the next topology and ground. --rounds 1 with the seed, topology and ground of a round repeats it.

Exit status:
  0    every rule held and every nemesis hit work in flight
  1    one did not
  2    the command line is wrong
  130  stopped with Ctrl-C`;

interface Parsed {
  readonly minutes: number;
  readonly rounds?: number;
  readonly seed: string;
  readonly topology: readonly TopologyName[];
  readonly ground: readonly Ground[];
  readonly only: readonly ScenarioName[];
  readonly scenario: readonly string[];
  readonly nemesis: readonly string[];
  readonly pods: number;
  readonly faultsS: number;
  readonly report?: string;
  readonly list?: boolean;
}

/**
 * Reads the arguments. Help and complaints are printed here.
 * @throws UsageExit when there is nothing left to do
 */
export function readCommandLine(words: readonly string[]): ChaosOptions {
  const known = nemeses.map(({ name }) => name);
  const command = new Command("pnpm chaos")
    .description(
      "Pauses, pod kills, a network that loses replies and a failing Redis, with histories that are checked.",
    )
    .addOption(new Option("--minutes <number>", "how long rounds are begun").default(10).argParser(positive))
    .addOption(new Option("--rounds <number>", "exactly so many rounds instead").argParser(wholeFrom(1)))
    .addOption(new Option("--seed <text>", "decides what is left to chance").default(String(Date.now() % 1_000_000)))
    .addOption(
      new Option("--topology <names>", topologyNames.join(", ")).default([], "all").argParser(among(topologyNames)),
    )
    .addOption(new Option("--ground <names>", groundNames.join(", ")).default([], "all").argParser(among(groundNames)))
    .addOption(
      new Option("--only <names>", scenarioNames.join(", ")).default([], "all").argParser(among(scenarioNames)),
    )
    .addOption(
      new Option("--scenario <file>", "a module of your own that exports `scenario`; can be repeated")
        .default([])
        .argParser((file: string, before: readonly string[]) => [...before, pathToFileURL(file).href]),
    )
    .addOption(new Option("--nemesis <names>", "only these").default([], "all").argParser(among(known)))
    .addOption(new Option("--pods <number>", "pods of a round").default(3).argParser(wholeFrom(1)))
    .addOption(new Option("--faults-s <seconds>", "how long faults happen in a round").default(20).argParser(positive))
    .option("--report <folder>", "where histories and the page are written")
    .option("--list", "print scenarios and nemeses, and exit")
    .addHelpText("after", afterHelp);
  const parsed = parseWords<Parsed>(command, words);
  const only = parsed.only.length > 0 ? parsed.only : parsed.scenario.length > 0 ? [] : scenarioNames;
  return {
    minutes: parsed.minutes,
    rounds: parsed.rounds,
    seed: parsed.seed,
    topologies: parsed.topology.length > 0 ? parsed.topology : topologyNames,
    grounds: parsed.ground.length > 0 ? parsed.ground : groundNames,
    modules: [...only.map(moduleOf), ...parsed.scenario],
    nemeses: parsed.nemesis,
    pods: parsed.pods,
    faultsMs: parsed.faultsS * 1_000,
    folder: parsed.report,
    list: parsed.list === true,
  };
}

function among<Name extends string>(names: readonly Name[]): (words: string) => readonly Name[] {
  return (words) =>
    words.split(",").map((word) => {
      const name = names.find((each) => each === word);
      if (name === undefined) throw new InvalidArgumentError(`There is: ${names.join(", ")}.`);
      return name;
    });
}
