/** `pnpm bench` runs everything, `pnpm bench timer` one primitive; prints tables and writes benchmarks/results.json. */
import { Command } from "commander";
import type { Benchmark, Measured } from "./figure.ts";
import { measure } from "./figure.ts";
import { lock } from "./lock/index.ts";
import { tableOf, writeResults } from "./report.ts";
import { startBenchServer } from "./server.ts";
import { timer } from "./timer/index.ts";

const benchmarks: readonly Benchmark[] = [lock, timer];
const peers = ["bullmq", "ioredis", "redis-semaphore", "redlock", "redlock-universal"];

async function run(names: readonly string[], options: { repetitions: string; figure?: string }): Promise<void> {
  const unknown = names.filter((name) => !benchmarks.some((benchmark) => benchmark.name === name));
  if (unknown.length > 0) {
    throw new Error(
      `no benchmark "${unknown.join('", "')}"; there are: ${benchmarks.map(({ name }) => name).join(", ")}`,
    );
  }
  const repetitions = Number(options.repetitions);
  if (!Number.isSafeInteger(repetitions) || repetitions < 1) {
    throw new Error(`--repetitions must be a whole number from 1, got ${options.repetitions}`);
  }
  const chosen = benchmarks.filter(({ name }) => names.length === 0 || names.includes(name));
  await using server = await startBenchServer();
  const results: Record<string, Measured[]> = {};
  for (const { name, figures } of chosen) {
    for (const figure of figures.filter((one) => options.figure === undefined || one.name.includes(options.figure))) {
      const measured = await measure(figure, server.bench, repetitions, (contestant, repetition) => {
        process.stderr.write(`${name}: ${figure.name}: ${contestant}, repetition ${repetition}\n`);
      });
      (results[name] ??= []).push(measured);
      process.stdout.write(`\n${name}: ${tableOf(measured)}`);
    }
  }
  // A partial run would overwrite figures that it did not measure.
  if (options.figure === undefined && names.length === 0) {
    await writeResults(new URL("../results.json", import.meta.url), server.version, peers, results);
  }
}

await new Command("bench")
  .description("Measures Holdfast and its peers in turn on one private Redis server.")
  .argument("[names...]", "primitives to measure; all without a name")
  .option("-r, --repetitions <count>", "turns of each contestant", "5")
  .option("-f, --figure <text>", "only figures whose name contains the text")
  .action(run)
  .parseAsync();
