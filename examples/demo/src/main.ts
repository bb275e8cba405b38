/**
 * `npm run demo`: arguments in, exit status out, signals in between.
 */
import { readCommandLine, UsageExit } from "./command-line.ts";
import { scenarios } from "./scenarios.ts";
import { openScreen } from "./screen.ts";
import { showAll } from "./show.ts";

/** 128 and the number of the signal, as shells say it. */
const EXIT_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

async function main(words: readonly string[]): Promise<number> {
  const options = readCommandLine(words, scenarios);
  if (options.list) {
    for (const { name, failure } of options.scenarios) console.log(`${name}  ${failure}`);
    return 0;
  }
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
    const held = await showAll(options, screen, stop.signal, process.env["REDIS_URL"]);
    return held ? 0 : 1;
  } catch (error) {
    if (stoppedWith === undefined) throw error;
    return stoppedWith;
  } finally {
    screen.close();
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (error instanceof UsageExit) process.exitCode = error.exitCode;
  else {
    console.error(error);
    process.exitCode = 1;
  }
}
