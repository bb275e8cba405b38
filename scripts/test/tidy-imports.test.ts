/** Import directions between the floors: the repository, and violations planted to see them caught. */
import { describe, expect, it } from "vitest";
import { importsPointDown } from "../tidy/imports.ts";
import { repositoryFiles } from "../tidy/source-file.ts";

const caught = (path: string, text: string): string[] => importsPointDown([{ path, text }]);

describe("imports", () => {
  it("point down in the whole repository", () => {
    expect(importsPointDown(repositoryFiles())).toEqual([]);
  });

  it.each([
    ["upwards", "packages/timer/src/a.ts", 'import { x } from "@holdfast/scheduler";', "floor 2"],
    ["to a neighbour", "packages/timer/src/a.ts", 'import type { X } from "@holdfast/lock";', "floor 1"],
    ["to a neighbour in a test", "packages/timer/test/a.test.ts", 'import { x } from "@holdfast/lock";', "floor 1"],
    [
      "to a neighbour at run time",
      "packages/timer/src/a.ts",
      'const x = await import("@holdfast/lock/guard");',
      "floor 1",
    ],
    ["to a neighbour in a re-export", "packages/timer/src/a.ts", 'export { x } from "@holdfast/lock";', "floor 1"],
    ["to a neighbour in a type", "packages/timer/src/a.ts", 'type X = import("@holdfast/lock").X;', "floor 1"],
    [
      "to the testkit in published code",
      "packages/timer/src/a.ts",
      'import { x } from "@holdfast/testkit";',
      "is for tests",
    ],
    ["to itself by name", "packages/timer/src/a.ts", 'import { x } from "@holdfast/timer";', "own name"],
    [
      "out of the package",
      "packages/timer/src/a.ts",
      'import { x } from "../../core/src/keys.ts";',
      "leaves its package",
    ],
    [
      "to the scripts from published code",
      "packages/core/src/a.ts",
      'import { x } from "../../../scripts/lua/embed.ts";',
      "leaves its",
    ],
    [
      "to other scripts in a test",
      "packages/core/test/a.ts",
      'import { x } from "../../../scripts/workspace.ts";',
      "leaves its",
    ],
    ["from src into test", "packages/timer/src/a.ts", 'import { x } from "../test/b.ts";', "leaves src/"],
    [
      "into a package by path",
      "examples/a/src/main.ts",
      'import { x } from "../../../packages/core/src/a.ts";',
      "leaves its",
    ],
    [
      "of an unknown package",
      "packages/timer/src/a.ts",
      'import { x } from "@holdfast/nothing";',
      "stands on no floor",
    ],
    [
      "from an unknown package",
      "packages/nothing/src/a.ts",
      'import { x } from "@holdfast/core";',
      "stands on no floor",
    ],
  ])("%s are caught", (_, path, text, message) => {
    expect(caught(path, `\n${text}\n`)).toEqual([expect.stringMatching(new RegExp(`^${path}:2: .*${message}`))]);
  });

  it("in a manifest that point sideways are caught", () => {
    const text = JSON.stringify({ dependencies: { "@holdfast/core": "workspace:*", "@holdfast/lock": "workspace:*" } });
    expect(caught("packages/timer/package.json", text)).toHaveLength(1);
  });

  it.each([
    ["packages/timer/src/a.ts", 'import { x } from "@holdfast/core";'],
    ["packages/core/test/a.test.ts", 'import { x } from "@holdfast/testkit";'],
    ["packages/core/test/a.test.ts", 'import { x } from "../../../scripts/lua/embed.ts";'],
    ["packages/scheduler/src/a.ts", 'import { x } from "@holdfast/lock";'],
    ["examples/a/src/main.ts", 'import { x } from "../../b/src/main.ts"; import { y } from "@holdfast/testkit";'],
  ])("that are right pass in %s", (path, text) => {
    expect(caught(path, text)).toEqual([]);
  });
});
