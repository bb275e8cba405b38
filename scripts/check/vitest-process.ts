/**
 * A vitest run in a process of its own that prints its progress for the step that started it. Arguments are filters of test files.
 */
import { startVitest } from "vitest/node";
import { VitestProgress } from "./vitest-progress.ts";

const vitest = await startVitest("test", process.argv.slice(2), {
  watch: false,
  reporters: ["default", new VitestProgress()],
});
await vitest.close();
