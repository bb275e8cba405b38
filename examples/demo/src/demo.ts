/**
 * The demo as a program: arguments in, exit status out.
 */
import type { Scenario } from "@holdfast-examples/stage";
import { runProgram } from "@holdfast-examples/stage/program";
import { readCommandLine } from "./command-line.ts";
import { showAll } from "./show.ts";

/**
 * Runs the demo.
 *
 * @param words its arguments
 * @param all the scenarios there are
 * @returns its exit status, as `--help` has it
 */
export function runDemo(words: readonly string[], all: readonly Scenario[]): Promise<number> {
  return runProgram(async (screen, signal) => {
    const options = readCommandLine(words, all);
    if (options.list) {
      for (const { name, failure } of options.scenarios) screen.say(`${name}  ${failure}`);
      return 0;
    }
    return (await showAll(options, screen, signal, process.env["REDIS_URL"])) ? 0 : 1;
  });
}
