/**
 * What `npm test` is asked to do.
 */
import { parseArgs } from "node:util";

/** The command line, understood. */
export interface CommandLine {
  /** What to print instead of doing anything. */
  readonly help: string | undefined;
  readonly list: boolean;
  readonly bail: boolean;
  /** Names of the steps to run. */
  readonly only: readonly string[];
  /** Parts of the paths of test files; all when empty. */
  readonly filters: readonly string[];
}

/** Says what is wrong with it, for the person who typed it. */
export class WrongCommandLine extends Error {}

function helpWith(steps: readonly string[]): string {
  return `Usage: npm test -- [options] [part of a test file's path...]

Everything that has to hold before a change is taken.

Options:
  --only <step,...>  run these steps: ${steps.join(", ")}
  --bail             stop at the first step that fails
  --list             print the steps and exit
  -h, --help         this

A path narrows the step "tests": npm test -- --only tests packages/lock
The output of each step is kept in .reports/<step>.log.`;
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        bail: { type: "boolean", default: false },
        only: { type: "string" },
        list: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    });
  } catch (error) {
    throw new WrongCommandLine((error as Error).message);
  }
}

/**
 * Understands it.
 * @param steps names of all steps
 * @throws WrongCommandLine
 */
export function commandLine(args: readonly string[], steps: readonly string[]): CommandLine {
  const { values, positionals } = parsed(args);
  const only = values.only?.split(",") ?? steps;
  const unknown = only.filter((name) => !steps.includes(name));
  if (unknown.length > 0)
    throw new WrongCommandLine(
      `--only takes ${steps.join(", ")}; got ${unknown.map((name) => `"${name}"`).join(", ")}`,
    );
  const help = values.help ? helpWith(steps) : undefined;
  return { help, list: values.list, bail: values.bail, only, filters: positionals };
}
