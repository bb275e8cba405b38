/**
 * Shows that the tests can fail: plants bugs and removes guards, one at a time, in a copy of the packages, and expects a test to notice.
 *
 *     pnpm mutants [package...] [--guards] [--planted] [--only text] [--timeout-s 600]
 *
 * Guards are the early returns of the Lua files; one whose removal no test can notice has its reason in `test/mutants/survivors.json`.
 * Planted bugs are the patches in `test/mutants/`, each naming the test that has to fail. Without a flag both are run. `--only` takes those
 * with the text in their name: `--only renew.lua:31`.
 */
import { parseArgs } from "node:util";
import { WrongCommandLine } from "./check/command-line.ts";
import { stopCommands } from "./check/step.ts";
import { judgePackage } from "./mutants/verdict.ts";
import type { Verdict } from "./mutants/verdict.ts";
import { WorkspaceCopy } from "./mutants/workspace-copy.ts";
import { packages, root } from "./workspace.ts";

function row({ good, mutant, note, durationMs }: Verdict): string {
  return `${good ? "✓" : "✗"} ${`${(durationMs / 1000).toFixed(1)} s`.padStart(8)}  ${mutant}\n             ${note}`;
}

function commandLine() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        guards: { type: "boolean" },
        planted: { type: "boolean" },
        only: { type: "string", default: "" },
        "timeout-s": { type: "string", default: "600" },
      },
    });
  } catch (error) {
    throw new WrongCommandLine((error as Error).message);
  }
}

async function main(): Promise<number> {
  const { values, positionals } = commandLine();
  const names = packages().map(({ name }) => name);
  const unknown = positionals.filter((name) => !names.includes(name));
  if (unknown.length > 0) throw new WrongCommandLine(`packages are ${names.join(", ")}; got ${unknown.join(", ")}`);
  const timeoutMs = Number(values["timeout-s"]) * 1000;
  if (!(timeoutMs > 0)) throw new WrongCommandLine(`--timeout-s must be above 0, got ${values["timeout-s"]}`);
  const both = values.guards !== true && values.planted !== true;
  const options = {
    guards: values.guards === true || both,
    planted: values.planted === true || both,
    only: values.only,
    timeoutMs,
    onVerdict: (verdict: Verdict) => console.log(row(verdict)),
  };
  using copy = new WorkspaceCopy(root);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => {
      stopCommands();
      copy[Symbol.dispose]();
      process.exit(1);
    });
  }
  const verdicts: Verdict[] = [];
  for (const name of positionals.length > 0 ? positionals : names)
    verdicts.push(...(await judgePackage(copy, root, name, options)));
  if (verdicts.length === 0) throw new WrongCommandLine(`there is no such mutant, "${values.only}" is in no name`);
  const bad = verdicts.filter(({ good }) => !good);
  if (bad.length > 0) console.log(`\nNot as it should be:\n${bad.map(row).join("\n")}`);
  console.log(`\n${verdicts.length - bad.length} as they should be, ${bad.length} not`);
  return bad.length === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof WrongCommandLine)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}
