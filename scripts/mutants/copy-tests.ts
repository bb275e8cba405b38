/**
 * Owns a run of tests in a copy: which tests failed, and how long it took.
 */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { command } from "../check/step.ts";
import { root as repository } from "../workspace.ts";

/** What a run found. */
export interface TestRun {
  /** Titles of the tests that failed; a file that cannot be loaded counts with its name. */
  readonly failed: readonly string[];
  /** What the first failure says, on one line. */
  readonly why: string;
  readonly passed: number;
  readonly timedOut: boolean;
  readonly durationMs: number;
  readonly output: string;
}

interface JsonReport {
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly {
      readonly status: string;
      readonly fullName: string;
      readonly failureMessages?: readonly string[] | null;
    }[];
  }[];
}

/** A vitest inside a vitest has to think it is the first. */
function cleanEnvironment(): Record<string, undefined> {
  const names = Object.keys(process.env).filter((name) => /^(VITEST|TEST$|NODE_ENV$|NODE_OPTIONS$)/.test(name));
  return Object.fromEntries(names.map((name) => [name, undefined]));
}

/**
 * Runs test files in a copy.
 * @param files relative to the copy
 * @param options `bail` stops at the first failure
 */
export async function runTests(
  copy: string,
  files: readonly string[],
  options: { bail: boolean; timeoutMs: number },
): Promise<TestRun> {
  // Without a filter vitest would run the tests of every package.
  if (files.length === 0) return { failed: [], why: "", passed: 0, timedOut: false, durationMs: 0, output: "" };
  const report = join(copy, "report.json");
  rmSync(report, { force: true });
  const config = join(repository, "vitest.config.ts");
  const args = [
    "run",
    "--root",
    copy,
    "--config",
    config,
    "--reporter=json",
    `--outputFile=${report}`,
    ...(options.bail ? ["--bail=1"] : []),
  ];
  const startedMs = performance.now();
  const { code, output } = await command("vitest", [...args, ...files], {
    cwd: copy,
    env: cleanEnvironment(),
    timeoutMs: options.timeoutMs,
  });
  const durationMs = performance.now() - startedMs;
  if (!existsSync(report)) {
    const timedOut = durationMs >= options.timeoutMs;
    return {
      failed: timedOut ? [] : ["(vitest did not run)"],
      why: output.trim().slice(-300),
      passed: 0,
      timedOut,
      durationMs,
      output,
    };
  }
  const { testResults } = JSON.parse(readFileSync(report, "utf8")) as JsonReport;
  const tests = testResults.flatMap((file) => file.assertionResults);
  const failed = tests.filter(({ status }) => status === "failed").map(({ fullName }) => fullName);
  const broken = testResults.filter(
    (file) => file.status === "failed" && file.assertionResults.every(({ status }) => status !== "failed"),
  );
  failed.push(...broken.map(({ name }) => `(${name.slice(copy.length + 1)} did not load)`));
  if (code !== 0 && failed.length === 0) failed.push("(an error outside any test)");
  const messages = [...tests.flatMap((test) => test.failureMessages ?? []), ...broken.map(({ message }) => message)];
  const why = (messages.find((message) => message !== "") ?? "").split("\n", 1)[0] ?? "";
  return {
    failed,
    why,
    passed: tests.filter(({ status }) => status === "passed").length,
    timedOut: false,
    durationMs,
    output,
  };
}
