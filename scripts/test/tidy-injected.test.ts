/** Time, chance and surroundings are injected: the repository, and violations planted to see them caught. */
import { describe, expect, it } from "vitest";
import { surroundingsAreInjected } from "../tidy/injected.ts";
import { repositoryFiles } from "../tidy/source-file.ts";

const caught = (text: string, path = "packages/timer/src/a.ts"): string[] => surroundingsAreInjected([{ path, text }]);

describe("time, chance and surroundings", () => {
  it("are injected in all published code", () => {
    expect(surroundingsAreInjected(repositoryFiles())).toEqual([]);
  });

  it.each([
    "Date.now();",
    'Date["now"]();',
    "const at = new Date();",
    "const at = Date();",
    "const { now } = Date;",
    "const later = Date.now;",
    "globalThis.Date.now();",
    "Math.random();",
    "performance.now();",
    "setTimeout(() => {}, 1);",
    "const wait = setTimeout;",
    "const wait = setTimeout as Wait;",
    "export const timers = { setTimeout };",
    "f(setInterval);",
    "globalThis.setTimeout(() => {}, 1);",
    "const { setImmediate } = globalThis;",
    'import { setTimeout as wait } from "node:timers/promises";',
    'import { performance } from "node:perf_hooks";',
    'import { createHistogram, performance } from "node:perf_hooks";',
    'import * as hooks from "node:perf_hooks";',
    'const timers = await import("timers");',
    "const url = process.env.REDIS_URL;",
    "const { env } = process;",
    "const p = globalThis.process;",
    'process.on("SIGTERM", () => {});',
    'import { env } from "node:process";',
    'console.log("x");',
    "globalThis.console.log();",
  ])("used directly are caught: %s", (text) => {
    expect(caught(`\n${text}\n`).join("\n")).toMatch(/^packages\/timer\/src\/a\.ts:2: /);
  });

  it.each([
    "clock.setTimeout(() => {}, 1);",
    "const at = new Date(dueAtMs);",
    "type Handle = ReturnType<typeof setTimeout>;",
    "interface Clock { setTimeout(fn: () => void, ms: number): void }",
    "export const clock = { setTimeout(fn: () => void) { fn(); } };",
    "process.nextTick(() => {});",
    'import { createHistogram } from "node:perf_hooks";',
    "Math.max(1, 2);",
    'const text = "Date.now() in a string"; // and setTimeout in a comment',
  ])("that are not are let through: %s", (text) => {
    expect(caught(text)).toEqual([]);
  });

  it("may be read in the clock's own file, which still prints nothing", () => {
    expect(caught("setTimeout(() => {}, Date.now());", "packages/core/src/clock.ts")).toEqual([]);
    expect(caught("console.log(1);", "packages/core/src/clock.ts")).toHaveLength(1);
  });

  it("are free in tests and in the testkit", () => {
    expect(caught("Date.now();", "packages/timer/test/a.test.ts")).toEqual([]);
    expect(caught("Date.now();", "packages/testkit/src/a.ts")).toEqual([]);
  });
});
