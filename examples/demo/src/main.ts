/**
 * `npm run demo`: arguments in, exit status out.
 */
import { runProgram } from "@holdfast-examples/stage/program";
import { readCommandLine } from "./command-line.ts";
import { scenarios } from "./scenarios.ts";
import { showAll } from "./show.ts";

process.exitCode = await runProgram(async (screen, signal) => {
  const options = readCommandLine(process.argv.slice(2), scenarios);
  if (options.list) {
    for (const { name, failure } of options.scenarios) screen.say(`${name}  ${failure}`);
    return 0;
  }
  return (await showAll(options, screen, signal, process.env["REDIS_URL"])) ? 0 : 1;
});
