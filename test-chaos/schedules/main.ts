/** `pnpm chaos:schedule lock "0.acquire +11000 1.acquire 0.write"` plays one schedule; without one it explores. */
import { positive, wholeFrom } from "@holdfast-examples/stage/program";
import { Command, InvalidArgumentError } from "commander";
import { casts } from "./casts.ts";
import type { Cast } from "./cast.ts";
import { explore, rulesOf, wordsOf } from "./explore.ts";
import { play } from "./play.ts";
import { parseSchedule } from "./step.ts";
import { openTheatre } from "./theatre.ts";

interface Options {
  readonly seed: number;
  readonly runs: number;
  readonly steps: number;
  readonly shrink: boolean;
  readonly shrinkS: number;
}

function castNamed(name: string): Cast {
  const cast = casts.find((each) => each.name === name);
  if (cast === undefined) throw new InvalidArgumentError(`There is: ${casts.map((each) => each.name).join(", ")}.`);
  return cast;
}

async function run(cast: Cast, words: readonly string[], options: Options): Promise<void> {
  await using theatre = await openTheatre();
  if (words.length > 0) {
    const played = await play(cast, theatre, parseSchedule(words.join(" "), wordsOf(cast)));
    for (const { kind, process, index: _index, ...rest } of played.record.entries)
      console.log(`${process.padEnd(12)} ${kind.padEnd(8)} ${JSON.stringify(rest)}`);
    for (const rule of rulesOf(played)) console.log(`BROKEN ${rule}`);
    process.exitCode = played.broken.length === 0 ? 0 : 1;
    return;
  }
  const explored = await explore(cast, theatre, {
    seed: options.seed,
    runs: options.runs,
    stepsMax: options.steps,
    shrinkMs: options.shrink ? options.shrinkS * 1_000 : 0,
  });
  const { schedules, calls, struck, broken } = explored;
  console.log(
    `${schedules} schedules, ${calls} calls, ${struck.lose} replies lost, ${struck.late} requests late, ${struck.mute} replies late, ${struck.twice} twice`,
  );
  if (broken === undefined) return;
  for (const rule of broken.rules) console.log(`BROKEN ${rule}`);
  console.log(`again: pnpm chaos:schedule ${cast.name} "${broken.schedule}"`);
  process.exitCode = 1;
}

await new Command("pnpm chaos:schedule")
  .description(
    "Plays a schedule of calls, faults of the wire and time with one primitive, or explores schedules at random.",
  )
  .argument("<primitive>", casts.map(({ name }) => name).join(", "), castNamed)
  .argument("[words...]", "the schedule; none explores")
  .option("--seed <number>", "decides what is explored", wholeFrom(0), Date.now() % 1_000_000)
  .option("--runs <number>", "schedules to explore", wholeFrom(1), 200)
  .option("--steps <number>", "longest schedule", wholeFrom(1), 30)
  .option("--shrink-s <seconds>", "how long to look for a shorter schedule that breaks a rule", positive, 120)
  .option("--no-shrink", "do not look for the shortest schedule that breaks a rule")
  .action(run)
  .parseAsync();
process.exit();
