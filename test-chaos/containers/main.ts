/** `pnpm chaos:containers`: one round in containers, or one line that says why not. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { containedNames, moduleOf } from "../scenarios/catalog.ts";
import { findEngine } from "./engine.ts";
import { buildImage } from "./image.ts";
import { playInContainers } from "./round.ts";

async function run({ seed }: { readonly seed: string }): Promise<void> {
  const engine = await findEngine();
  if (engine === null) {
    console.log(
      "SKIPPED: the container layer needs a Docker engine, and none answers (test-chaos/containers/engine.sh starts one)",
    );
    return;
  }
  const context = await mkdtemp(join(tmpdir(), "holdfast-image-"));
  try {
    const image = await buildImage(context);
    const folder = join(import.meta.dirname, "../../.reports/chaos", `containers-${seed}`);
    const modules = containedNames.map(moduleOf);
    const { verdicts, struck } = await playInContainers(engine, image, { seed, modules, folder });
    for (const { held, scenario, rule, violations } of verdicts.filter((verdict) => !verdict.held))
      console.log(`${held ? "✓" : "✗"} ${scenario}: ${rule}\n    ${violations.join("\n    ")}`);
    const idle = Object.entries(struck).filter(([, times]) => times === 0);
    for (const [fault] of idle) console.log(`✗ ${fault} hit no work in flight`);
    const good = idle.length === 0 && verdicts.every(({ held }) => held);
    console.log(`${good ? "held" : "DID NOT HOLD"}: ${verdicts.length} rules, seed ${seed}, ${JSON.stringify(struck)}`);
    process.exitCode = good ? 0 : 1;
  } finally {
    await rm(context, { recursive: true, force: true });
  }
}

await new Command("pnpm chaos:containers")
  .description("The pods and the Redis of the suite in containers: kill, pause, disconnect, restart.")
  .option("--seed <text>", "decides what is left to chance", String(Date.now() % 1_000_000))
  .action(run)
  .parseAsync();
process.exit();
