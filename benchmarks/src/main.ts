/** `pnpm bench` measures everything, `pnpm bench timer` one primitive; prints tables and keeps the figures of each primitive it finishes. */
import { Command } from "commander";
import { bulkhead } from "./bulkhead/index.ts";
import type { Benchmark, Figure, Measured } from "./figure.ts";
import { measure } from "./figure.ts";
import { idempotency } from "./idempotency/index.ts";
import { inventory } from "./inventory/index.ts";
import { lock } from "./lock/index.ts";
import { postgres } from "./postgres/index.ts";
import { tableOf } from "./report.ts";
import { keep, resultsOf, writeTables } from "./results.ts";
import { scope } from "./scope/index.ts";
import { startBenchServer } from "./server.ts";
import type { BenchServer } from "./server.ts";
import { timer } from "./timer/index.ts";

const benchmarks: readonly Benchmark[] = [lock, timer, idempotency, inventory, postgres, bulkhead, scope];
const folder = new URL("../", import.meta.url);
/** Fewer turns are good for a look, not for keeping. */
const repetitionsKept = 5;

interface Options {
  readonly repetitions: string;
  readonly figure?: string;
  readonly tables?: true;
}

interface Chosen {
  readonly benchmark: Benchmark;
  readonly figures: readonly Figure[];
}

/** One run of the program. */
interface Run {
  readonly repetitions: number;
  /** Figures in all. */
  readonly count: number;
  readonly startMs: number;
  /** Figures whose turns have begun. */
  begun: number;
}

class WrongCommandLine extends Error {}

/** @throws WrongCommandLine that tells what there is to choose from */
function choose(names: readonly string[], text: string | undefined): Chosen[] {
  const unknown = names.filter((name) => !benchmarks.some((benchmark) => benchmark.name === name));
  if (unknown.length > 0) {
    const known = benchmarks.map(({ name }) => name).join(", ");
    throw new WrongCommandLine(`no benchmark "${unknown.join('", "')}"; there are: ${known}`);
  }
  const named = benchmarks.filter(({ name }) => names.length === 0 || names.includes(name));
  const chosen = named.flatMap((benchmark) => {
    const figures = benchmark.figures.filter(({ name }) => text === undefined || name.includes(text));
    return figures.length === 0 ? [] : [{ benchmark, figures }];
  });
  if (chosen.length > 0) return chosen;
  const known = named.flatMap(({ figures }) => figures.map(({ name }) => `  ${name}`));
  throw new WrongCommandLine(`no figure has "${text}" in its name; there are:\n${known.join("\n")}`);
}

function minutesSince(startMs: number): string {
  return `${((performance.now() - startMs) / 60_000).toFixed(1)} min`;
}

/** Lets all contestants of some figures take their turns, and prints what came out. */
async function measureAll({ benchmark, figures }: Chosen, server: BenchServer, run: Run): Promise<Measured[]> {
  const results: Measured[] = [];
  for (const figure of figures) {
    run.begun += 1;
    const measured = await measure(figure, server.bench, run.repetitions, (contestant, repetition) => {
      const turn = repetition < 1 ? "warm-up" : `repetition ${repetition}`;
      const progress = `[${run.begun} of ${run.count}, ${minutesSince(run.startMs)}]`;
      process.stderr.write(`${progress} ${benchmark.name}: ${figure.name}: ${contestant}, ${turn}\n`);
    });
    results.push(measured);
    process.stdout.write(`\n${benchmark.name}: ${tableOf(measured)}`);
  }
  return results;
}

async function main(names: readonly string[], options: Options): Promise<void> {
  if (options.tables === true) {
    await writeTables(folder);
    return;
  }
  const repetitions = Number(options.repetitions);
  if (!Number.isSafeInteger(repetitions) || repetitions < 1) {
    throw new WrongCommandLine(`--repetitions must be a whole number from 1, got ${options.repetitions}`);
  }
  const chosen = choose(names, options.figure);
  const count = chosen.reduce((sum, { figures }) => sum + figures.length, 0);
  const run: Run = { repetitions, count, startMs: performance.now(), begun: 0 };
  for (const one of chosen) {
    const { name } = one.benchmark;
    try {
      await using server = await startBenchServer();
      const results = await measureAll(one, server, run);
      if (options.figure !== undefined || repetitions < repetitionsKept) continue;
      const order = benchmarks.map((benchmark) => benchmark.name);
      await keep(folder, name, resultsOf(one.benchmark, server.version, results), order);
    } catch (error) {
      // The others take half an hour, and do not depend on it.
      process.stderr.write(`${name} failed, and what was kept of it stays: ${String((error as Error).stack)}\n`);
      process.exitCode = 1;
    }
  }
  process.stderr.write(`${run.begun} of ${count} figures in ${minutesSince(run.startMs)}\n`);
}

// What a run has started ends with its process: servers and pods are watched by a guardian of the testkit.
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    process.stderr.write("interrupted; primitives that were finished are kept\n");
    process.exit(130);
  });
}

try {
  await new Command("bench")
    .description("Measures Holdfast and its peers in turn on one private Redis server.")
    .argument("[names...]", "primitives to measure; all without a name")
    .option("-r, --repetitions <count>", `turns of each contestant; fewer than ${repetitionsKept} are not kept`, "5")
    .option("-f, --figure <text>", "only figures whose name contains the text; they are not kept")
    .option("--tables", "measure nothing: make RESULTS.md from results.json")
    .action(main)
    .parseAsync();
} catch (error) {
  if (!(error instanceof WrongCommandLine)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 2;
}
