/**
 * Owns what every program of this kind does around its work: arguments that make no sense, signals, a screen, an exit status.
 */
import { CommanderError, InvalidArgumentError, type Command } from "commander";
import { openScreen, type Screen } from "./screen.ts";

/** 128 and the number of the signal, as shells say it. */
const EXIT_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** What was asked makes no sense, or was answered already (`--help`): nothing is left to do but to exit with this status. */
export class UsageExit extends Error {
  override readonly name = "UsageExit";
  readonly exitCode: number;

  constructor(exitCode: number, options?: ErrorOptions) {
    super("the command line leaves nothing to do", options);
    this.exitCode = exitCode;
  }
}

/**
 * Reads the arguments. Help and complaints are printed here.
 *
 * @returns the options.
 * @throws UsageExit when there is nothing left to do.
 */
export function parseWords<Options extends object>(command: Command, words: readonly string[]): Options {
  command.showHelpAfterError(`(see ${command.name()} --help)`).allowExcessArguments(false).exitOverride();
  try {
    command.parse([...words], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    throw new UsageExit(error.exitCode === 0 ? 0 : 2, { cause: error });
  }
  return command.opts<Options>();
}

/** For `argParser`: a number above 0. */
export function positive(word: string): number {
  const number = Number(word);
  if (number > 0 && Number.isFinite(number)) return number;
  throw new InvalidArgumentError("It must be a number above 0.");
}

/** For `argParser`: a whole number, `least` at the least. */
export function wholeFrom(least: 0 | 1): (word: string) => number {
  return (word) => {
    const number = Number(word);
    if (/^\d+$/u.test(word) && number >= least && Number.isSafeInteger(number)) return number;
    throw new InvalidArgumentError(`It must be a whole number, ${least} or more.`);
  };
}

/**
 * Runs a program whose result is its exit status. The first Ctrl-C aborts the signal, the second one ends this process at once.
 *
 * @returns the exit status: that of the signal when one stopped it, 1 when it failed.
 */
export async function runProgram(program: (screen: Screen, signal: AbortSignal) => Promise<number>): Promise<number> {
  const stop = new AbortController();
  let stoppedWith: number | undefined;
  for (const [signal, exitCode] of Object.entries(EXIT_CODES)) {
    process.on(signal, () => {
      // Asked twice: what still runs ends with this process, the testkit sees to that.
      if (stop.signal.aborted) process.exit(exitCode);
      stoppedWith = exitCode;
      stop.abort(new Error(`stopped by ${signal}`));
    });
  }
  const screen = openScreen(process.stdout);
  try {
    return await program(screen, stop.signal).finally(() => screen.close());
  } catch (error) {
    if (error instanceof UsageExit) return error.exitCode;
    if (stoppedWith !== undefined) return stoppedWith;
    console.error(error);
    return 1;
  }
}
