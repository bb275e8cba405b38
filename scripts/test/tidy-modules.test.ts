/** The form of modules: the repository, and violations planted to see them caught. */
import { describe, expect, it } from "vitest";
import {
  errorsAreNotSilenced,
  everyTestRuns,
  exportsAreNamed,
  filesAreShort,
  namesSaySomething,
} from "../tidy/modules.ts";
import { repositoryFiles } from "../tidy/source-file.ts";
import type { Rule } from "../tidy/source-file.ts";

const files = repositoryFiles();
const caught = (rule: Rule, text: string, path = "packages/timer/src/a.ts"): string[] => rule([{ path, text }]);

describe("exports", () => {
  it("are named everywhere", () => {
    expect(exportsAreNamed(files)).toEqual([]);
  });

  it.each([
    "export default 1;",
    "const a = 1;\nexport { a as default };",
    'export * from "./b.ts";',
    'export * as b from "./b.ts";',
  ])("that are not are caught: %s", (text) => {
    expect(caught(exportsAreNamed, text)).toHaveLength(1);
  });
});

describe("names", () => {
  it("say something everywhere", () => {
    expect(namesSaySomething(files)).toEqual([]);
  });

  it.each([
    "packages/timer/src/utils.ts",
    "packages/timer/src/lib/a.ts",
    "scripts/helpers.mjs",
    "examples/a/common/b.ts",
    "packages/timer/test/misc.test.ts",
    "packages/timer/src/types.ts",
    "packages/timer/src/durableTimer.ts",
    "packages/timer/src/scripts/fire_now.lua",
  ])("that say nothing are caught: %s", (path) => {
    expect(caught(namesSaySomething, "", path)).toHaveLength(1);
  });

  it.each(["packages/timer/src/common-options.ts", "packages/timer/test/hold.test-d.ts", "packages/timer/README.md"])(
    "pass: %s",
    (path) => {
      expect(caught(namesSaySomething, "", path)).toEqual([]);
    },
  );
});

describe("compiler errors", () => {
  it("are silenced nowhere", () => {
    expect(errorsAreNotSilenced(files)).toEqual([]);
  });

  it.each(["ignore", "nocheck"])("that are silenced by %s are caught", (word) => {
    expect(caught(errorsAreNotSilenced, `// @ts-${word}\nx();`)).toHaveLength(1);
  });

  it("may be expected", () => {
    expect(caught(errorsAreNotSilenced, "// @ts-expect-error one of the two, by type\nx();")).toEqual([]);
  });
});

describe("lengths", () => {
  it("are within their limits everywhere", () => {
    expect(filesAreShort(files)).toEqual([]);
  });

  it("beyond them are caught", () => {
    expect(caught(filesAreShort, "x();\n".repeat(401))).toHaveLength(1);
    expect(caught(filesAreShort, "x();\n".repeat(400))).toEqual([]);
    expect(caught(filesAreShort, "local x = 1\n".repeat(111), "packages/timer/src/scripts/a.lua")).toHaveLength(1);
    expect(
      caught(
        filesAreShort,
        `--[[\n${"long\n".repeat(200)}]]\n${"-- x\n\n".repeat(200)}`,
        "packages/timer/src/scripts/a.lua",
      ),
    ).toEqual([]);
  });
});

describe("tests", () => {
  it("all run", () => {
    expect(everyTestRuns(files)).toEqual([]);
  });

  it.each([
    'it.only("x", () => {});',
    'it.skip("x", () => {});',
    'test.todo("x");',
    'describe.skip("x", () => {});',
    'it.concurrent.skip("x", () => {});',
    'it.skip.each([1])("x", () => {});',
    'it.skipIf(true)("x", () => {});',
    'it("x", (context) => { context.skip(); });',
  ])("that are left out are caught: %s", (text) => {
    expect(caught(everyTestRuns, text, "packages/timer/test/a.test.ts")).toHaveLength(1);
  });

  it("may use the words elsewhere", () => {
    expect(
      caught(
        everyTestRuns,
        'const { skip } = options; f(options.only); it("x", () => {});',
        "packages/timer/test/a.test.ts",
      ),
    ).toEqual([]);
  });
});
