/**
 * Everything that has to hold before a change is taken: `npm test` ends here.
 *
 *     node --conditions=@holdfast/source scripts/test.ts [--bail] [--only step[,step]] [--list] [--help] [part of a test file's path...]
 *
 * Every step runs even after another failed, unless `--bail`. The last line is `N passed, N failed`: the tests, and each step as one check.
 * Exit codes: 0 all passed, 1 something failed, 2 the command line is wrong, 130 stopped with Ctrl-C.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { commandLine, WrongCommandLine } from "./check/command-line.ts";
import { commandStep, stopCommands } from "./check/step.ts";
import type { Outcome, Step } from "./check/step.ts";
import { openStatusLine } from "./check/status-line.ts";
import { packedStep, tarballSteps } from "./check/tarball-steps.ts";
import { removeTarballs } from "./check/tarball.ts";
import { testsStep } from "./check/tests-step.ts";
import { typecheckStep } from "./check/typecheck-step.ts";
import { root } from "./workspace.ts";

const OUTPUT_LINES_MAX = 200;

/** All steps, in their order. @param filters parts of the paths of test files; all when empty */
function stepsWith(filters: readonly string[]): readonly Step[] {
  return [
    commandStep("generate", "node", ["scripts/generate.ts", "--check"]),
    commandStep("format", "oxfmt", ["--check"]),
    commandStep("lint", "oxlint", ["--type-aware", "--report-unused-disable-directives"]),
    typecheckStep,
    testsStep(filters),
    ...tarballSteps,
    commandStep("knip", "knip", ["--no-progress"]),
    packedStep,
  ];
}

interface Result extends Outcome {
  readonly name: string;
  readonly durationMs: number;
}

async function runStep(step: Step): Promise<Result> {
  const startedMs = performance.now();
  const status = openStatusLine(step.name);
  let outcome: Outcome;
  try {
    outcome = await step.run((words) => status.report(words));
  } catch (error) {
    outcome = {
      kind: "failed",
      note: "",
      output: error instanceof Error ? (error.stack ?? error.message) : String(error),
    };
  }
  status.end(outcome.kind === "passed" ? "✓" : "✗", outcome.note);
  mkdirSync(join(root, ".reports"), { recursive: true });
  const file = join(root, ".reports", `${step.name}.log`);
  writeFileSync(file, outcome.output);
  if (outcome.kind === "failed") {
    const lines = outcome.output.trimEnd().split("\n");
    if (lines.length > OUTPUT_LINES_MAX)
      console.log(`(the last ${OUTPUT_LINES_MAX} of ${lines.length} lines; all of them: .reports/${step.name}.log)`);
    console.log(lines.slice(-OUTPUT_LINES_MAX).join("\n"));
  }
  return { ...outcome, name: step.name, durationMs: performance.now() - startedMs };
}

function summary(results: readonly Result[]): string {
  const rows = results.map(({ name, kind, durationMs, note }) => {
    return `${kind === "passed" ? "✓" : "✗"} ${name.padEnd(12)} ${kind.padEnd(6)} ${`${(durationMs / 1000).toFixed(1)} s`.padStart(9)}  ${note}`.trimEnd();
  });
  const count = (kind: Outcome["kind"]): number => {
    return results.reduce((sum, result) => sum + (result.kind === kind ? 1 : 0) + (result.tests?.[kind] ?? 0), 0);
  };
  return ["", ...rows, "", `${count("passed")} passed, ${count("failed")} failed`].join("\n");
}

async function main(args: readonly string[]): Promise<number> {
  const names = stepsWith([]).map(({ name }) => name);
  const { help, list, bail, only, filters } = commandLine(args, names);
  if (help !== undefined || list) {
    console.log(help ?? names.join("\n"));
    return 0;
  }
  const results: Result[] = [];
  try {
    for (const step of stepsWith(filters).filter(({ name }) => only.includes(name))) {
      const result = await runStep(step);
      results.push(result);
      if (result.kind === "failed" && bail) break;
    }
  } finally {
    removeTarballs();
  }
  console.log(summary(results));
  return results.every((result) => result.kind === "passed") ? 0 : 1;
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.once(signal, () => {
    stopCommands();
    removeTarballs();
    console.error("\nstopped before the end: nothing is known of the steps without a mark");
    process.exit(signal === "SIGINT" ? 130 : 1);
  });
}
try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof WrongCommandLine)) throw error;
  console.error(`${error.message}\n(see npm test -- --help)`);
  process.exitCode = 2;
}
