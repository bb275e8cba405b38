/**
 * The reporter that lets `npm test` know the totals: a line for each finished test, and one with the end's numbers.
 */
import type { Reporter, TestCase, TestModule } from "vitest/node";

/** What a progress line starts with. */
export const PROGRESS_MARK = "@progress ";

/** The numbers of a run so far. */
export interface Progress {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly last: string;
}

/** Prints a {@link Progress} behind {@link PROGRESS_MARK} after every test. */
export class VitestProgress implements Reporter {
  #passed = 0;
  #failed = 0;
  #skipped = 0;

  onTestCaseResult(test: TestCase): void {
    const { state } = test.result();
    if (state === "passed") this.#passed += 1;
    else if (state === "failed") this.#failed += 1;
    else this.#skipped += 1;
    this.#print(test.module.relativeModuleId);
  }

  /** A file that could not be loaded has no test that could fail: it counts as one. */
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly unknown[]): void {
    this.#failed += modules.filter((module) => module.errors().length > 0).length + unhandled.length;
    this.#print("end");
  }

  #print(last: string): void {
    const progress: Progress = { passed: this.#passed, failed: this.#failed, skipped: this.#skipped, last };
    process.stdout.write(`${PROGRESS_MARK}${JSON.stringify(progress)}\n`);
  }
}
