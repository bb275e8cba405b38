/** `pnpm chaos:mutants`: plants each bug in a copy of the packages and expects the chaos suite to notice. */
import { basename, join } from "node:path";
import { readFileSync } from "node:fs";
import { wholeFrom } from "@holdfast-examples/stage/program";
import Table from "cli-table3";
import { Command } from "commander";
import { stopCommands } from "../../scripts/check/step.ts";
import { WorkspaceCopy } from "../../scripts/mutants/workspace-copy.ts";
import { root } from "../../scripts/workspace.ts";
import { chaosMutants } from "./catalog.ts";
import type { ChaosMutant } from "./catalog.ts";
import { hunt } from "./hunt.ts";
import type { Catch } from "./hunt.ts";

interface Options {
  readonly seed: number;
  readonly tries: number;
}

interface Row {
  readonly name: string;
  readonly bug: string;
  readonly caught: Catch | undefined;
  readonly why: string;
  readonly tookMs: number;
}

function nameOf({ patch }: ChaosMutant): string {
  const owner = /^packages\/([^/]+)\//.exec(patch)?.[1] ?? "chaos";
  return `${owner}/${basename(patch, ".patch")}`;
}

function bugOf({ patch }: ChaosMutant): string {
  return /^# bug: (.+)$/m.exec(readFileSync(join(root, patch), "utf8"))?.[1] ?? patch;
}

async function judge(copy: WorkspaceCopy, mutant: ChaosMutant, { seed, tries }: Options): Promise<Row> {
  const [name, bug] = [nameOf(mutant), bugOf(mutant)];
  const problem = await copy.apply(join(root, mutant.patch));
  let tookMs = 0;
  let why = "nobody noticed";
  try {
    if (problem !== null) return { name, bug, caught: undefined, why: `does not apply: ${problem}`, tookMs };
    for (let attempt = 0; attempt < tries; attempt += 1) {
      for (const how of mutant.hunts) {
        const found = await hunt(how, copy.root, String(seed + attempt));
        tookMs += found.tookMs;
        if (found.rule !== null) return { name, bug, caught: found, why: found.rule, tookMs };
        if (found.trouble !== null) why = `no verdict: ${found.trouble}`;
      }
    }
    return { name, bug, caught: undefined, why, tookMs };
  } finally {
    copy.mend();
  }
}

function wordsOf({ name, bug, caught, why, tookMs }: Row): string {
  const took = `${(tookMs / 1_000).toFixed(0)} s`;
  if (caught === undefined) return `✗ ${name}: ${bug}: ${why} (${took})`;
  return `✓ ${name}: ${bug}: layer ${caught.layer}, seed ${caught.seed}, ${took}: ${why}`;
}

async function run(names: readonly string[], options: Options, command: Command): Promise<void> {
  const chosen = chaosMutants.filter(
    (mutant) => names.length === 0 || names.some((name) => nameOf(mutant).includes(name)),
  );
  if (chosen.length === 0) command.error(`There is: ${chaosMutants.map(nameOf).join(", ")}.`, { exitCode: 2 });
  using copy = new WorkspaceCopy(root, ["test-chaos", "examples/order-service"]);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => {
      stopCommands();
      copy[Symbol.dispose]();
      process.exit(1);
    });
  }
  const rows: Row[] = [];
  for (const mutant of chosen) {
    const row = await judge(copy, mutant, options);
    rows.push(row);
    console.log(wordsOf(row));
  }
  const table = new Table({
    head: ["bug", "layer", "caught by", "seed", "time"],
    style: { head: [] },
    colWidths: [60, 7, 70, 8, 8],
    wordWrap: true,
  });
  for (const { name, bug, caught, why, tookMs } of rows) {
    table.push([
      `${name}: ${bug}`,
      caught?.layer ?? "-",
      caught === undefined ? `SURVIVED: ${why}` : why,
      caught?.seed ?? "-",
      `${(tookMs / 1_000).toFixed(0)} s`,
    ]);
  }
  console.log(table.toString());
  const survivors = rows.filter(({ caught }) => caught === undefined);
  console.log(`${rows.length - survivors.length} caught, ${survivors.length} survived`);
  process.exitCode = survivors.length === 0 ? 0 : 1;
}

await new Command("pnpm chaos:mutants")
  .description("Plants each bug of the catalog in a copy of the packages and expects the chaos suite to notice.")
  .argument("[names...]", "parts of names, such as lock/ or no-tombstone; all when none is given")
  .option("--seed <number>", "the first seed that is tried", wholeFrom(0), 1)
  .option("--tries <number>", "seeds that are tried", wholeFrom(1), 3)
  .action(run)
  .parseAsync();
process.exit();
