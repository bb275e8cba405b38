/**
 * The step that type-checks every member of the workspace that has a tsconfig.json, and the scripts, from sources.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { members, root } from "../workspace.ts";
import { command } from "./step.ts";
import type { Outcome, Step } from "./step.ts";

async function run(report: (words: string) => void): Promise<Outcome> {
  const paths = ["scripts", ...members().map((member) => member.path)].filter((path) =>
    existsSync(join(root, path, "tsconfig.json")),
  );
  const outputs: string[] = [];
  for (const path of paths) {
    report(path);
    const { code, output } = await command("tsc", ["-p", path, "--pretty", "false"]);
    if (code !== 0) outputs.push(output.trimEnd());
  }
  return {
    kind: outputs.length === 0 ? "passed" : "failed",
    note: `${paths.length} projects`,
    output: outputs.join("\n"),
  };
}

/** Types of every project. */
export const typecheckStep: Step = { name: "typecheck", run };
