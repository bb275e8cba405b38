/**
 * The step that runs every test of the workspace with vitest and knows the totals.
 */
import { command } from "./step.ts";
import type { Outcome, Step } from "./step.ts";
import { PROGRESS_MARK } from "./vitest-progress.ts";
import type { Progress } from "./vitest-progress.ts";

async function run(filters: readonly string[], report: (words: string) => void): Promise<Outcome> {
  let progress: Progress = { passed: 0, failed: 0, skipped: 0, last: "" };
  const onLine = (line: string): void => {
    if (!line.startsWith(PROGRESS_MARK)) return;
    progress = JSON.parse(line.slice(PROGRESS_MARK.length)) as Progress;
    report(`${progress.passed} passed, ${progress.failed} failed · ${progress.last}`);
  };
  const { code, output } = await command("node", ["scripts/check/vitest-process.ts", ...filters], { onLine });
  const shown = output.split("\n").filter((line) => !line.startsWith(PROGRESS_MARK));
  const skipped = progress.skipped === 0 ? "" : `, ${progress.skipped} skipped`;
  const unexplained = code !== 0 && progress.failed === 0 ? 1 : 0;
  return {
    kind: code === 0 && progress.failed === 0 ? "passed" : "failed",
    note: `${progress.passed} tests passed, ${progress.failed + unexplained} failed${skipped}`,
    output: shown.join("\n"),
    tests: { passed: progress.passed, failed: progress.failed + unexplained },
  };
}

/**
 * All tests, or some.
 * @param filters parts of the paths of test files; all when empty
 */
export function testsStep(filters: readonly string[]): Step {
  return { name: "tests", run: async (report) => run(filters, report) };
}
