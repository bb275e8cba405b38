/**
 * Owns what can be asked of the demo.
 */
import type { Scenario } from "@holdfast-examples/stage";
import { parseWords, wholeFrom } from "@holdfast-examples/stage/program";
import { Command, InvalidArgumentError, Option } from "commander";

/** What was asked. */
export interface DemoOptions {
  readonly scenarios: readonly Scenario[];
  readonly list: boolean;
  readonly keep: boolean;
  readonly quick: boolean;
  readonly seed: number;
}

interface Parsed {
  readonly only: readonly string[];
  readonly list?: boolean;
  readonly keep?: boolean;
  readonly quick?: boolean;
  readonly seed: number;
}

const AFTER_HELP = `
Environment:
  REDIS_URL   use this Redis instead of a private one; only keys of the demo are written, and removed at the end

Exit status:
  0    Holdfast held in every scenario
  1    it did not in one, or a scenario could not be shown
  2    the command line is wrong
  130  stopped with Ctrl-C`;

/**
 * Reads the arguments. Help and complaints are printed here.
 *
 * @throws UsageExit when there is nothing left to do.
 */
export function readCommandLine(words: readonly string[], all: readonly Scenario[]): DemoOptions {
  const names = all.map(({ name }) => name);
  const command = new Command("npm run demo --")
    .description("Each failure of production on real processes: first with the usual code, then with Holdfast.")
    .addOption(
      new Option("--only <scenario>", "run this one; can be repeated")
        .default([], "all")
        .argParser((name: string, before: readonly string[]) => [...before, known(name, names)]),
    )
    .option("--list", "print the scenarios and exit")
    .option("--keep", "leave the servers running at the end and print their addresses, until Ctrl-C")
    .option("--quick", "less of everything, for a first look")
    .addOption(new Option("--seed <number>", "decides what is left to chance").default(1).argParser(wholeFrom(0)))
    .addHelpText("after", AFTER_HELP);
  const { only, list = false, keep = false, quick = false, seed } = parseWords<Parsed>(command, words);
  const wanted = only.length === 0 ? all : all.filter(({ name }) => only.includes(name));
  return { scenarios: wanted, list, keep, quick, seed };
}

function known(name: string, names: readonly string[]): string {
  if (names.includes(name)) return name;
  throw new InvalidArgumentError(`There is no scenario ${JSON.stringify(name)}. There is: ${names.join(", ")}.`);
}
