/** The mutant runner on a tiny package: what it removes, what it calls caught, and what it does not let pass. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { guardsOf, likelyTests } from "../mutants/guard.ts";
import { readPlantedBug } from "../mutants/planted-bug.ts";
import { judgePackage } from "../mutants/verdict.ts";
import type { Verdict } from "../mutants/verdict.ts";
import { WorkspaceCopy } from "../mutants/workspace-copy.ts";
import { root } from "../workspace.ts";

const LUA = `--[[
take: hands a thing out.

KEYS
  due  ZSET  id -> score
ARGV
  count  how many
REPLIES
  {"none"}   nothing was asked for
  {"taken"}  something was taken
]]
local due = KEYS[1]
local count = tonumber(ARGV[1])
if count < 1 then
  return { "none" }
end
if count > 100 then
  return { "none" }
end
return { "taken", redis.call("ZCARD", due) }
`;

const FILES: Record<string, string> = {
  "packages/tiny/package.json": '{ "name": "@holdfast/tiny", "type": "module" }\n',
  "packages/tiny/src/scripts/take.lua": LUA,
  "packages/tiny/src/sum.ts": "export function sum(a: number, b: number): number {\n  return a + b;\n}\n",
  "packages/tiny/test/take.test.ts": `import { expect, it } from "vitest";
import { take } from "../src/scripts.generated.ts";
it("refuses to take nothing", () => expect(take.source).toContain("count < 1"));
`,
  "packages/tiny/test/sum.test.ts": `import { expect, it } from "vitest";
import { sum } from "../src/sum.ts";
it("adds two numbers", () => expect(sum(1, 2)).toBe(3));
it("adds nothing", () => expect(sum(1, 0)).toBe(1));
`,
  "packages/tiny/test/mutants/1.patch": `# bug: it subtracts
# fails: adds two numbers
# run: test/sum.test.ts
--- a/packages/tiny/src/sum.ts
+++ b/packages/tiny/src/sum.ts
@@ -1,3 +1,3 @@
 export function sum(a: number, b: number): number {
-  return a + b;
+  return a - b;
 }
`,
};

let fixture = "";
let copy: WorkspaceCopy;

function write(files: Record<string, string>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(fixture, path)), { recursive: true });
    writeFileSync(join(fixture, path), text);
  }
}

/** Judges the tiny package with some of its files changed. */
async function judge(
  files: Record<string, string>,
  kinds: { guards: boolean; planted: boolean; only?: string },
): Promise<Verdict[]> {
  rmSync(join(fixture, "packages"), { recursive: true, force: true });
  write({ ...FILES, ...files });
  using fresh = new WorkspaceCopy(fixture);
  return await judgePackage(fresh, fixture, "tiny", {
    only: "",
    ...kinds,
    timeoutMs: 150_000,
    onVerdict: () => undefined,
  });
}

beforeAll(() => {
  mkdirSync(join(root, ".mutants"), { recursive: true });
  fixture = mkdtempSync(join(root, ".mutants", `${process.pid}-fixture-`));
  write(FILES);
  copy = new WorkspaceCopy(fixture);
});

afterAll(() => {
  copy[Symbol.dispose]();
  rmSync(fixture, { recursive: true, force: true });
});

describe("guards", () => {
  it("are the branches that end in a return, at any depth, each made never to be taken", () => {
    const source =
      "if a then\n  return 1\nend\nlocal function f()\n  if b == 1 and\n    c then return 2 elseif d then x() else return 3 end\nend\n";
    const guards = guardsOf(source, "x.lua");
    expect(guards.map(({ line, text }) => [line, text])).toEqual([
      [1, "a"],
      [5, "b == 1 and c"],
    ]);
    expect(guards[1]?.mutated).toContain("if false then return 2 elseif d");
  });

  it("are tried on the tests named after their file first", () => {
    const files = ["test/take.test.ts", "test/take-many.test.ts", "test/scripts.test.ts", "test/mistake.test.ts"];
    expect(likelyTests(files, "src/scripts/take.lua")).toEqual(files.slice(0, 3));
  });

  it("that no test misses are survivors, and fail the run", async () => {
    const verdicts = await judge({}, { guards: true, planted: false });
    expect(verdicts.map(({ good }) => good)).toEqual([true, true, false]);
    expect(verdicts[1]).toMatchObject({
      mutant: "tiny/src/scripts/take.lua:14 without: count < 1",
      note: "refuses to take nothing",
    });
    expect(verdicts[2]?.note).toContain("SURVIVED");
  });

  it("may survive with a reason; one that is caught or gone may have none", async () => {
    const file = "packages/tiny/src/scripts/take.lua";
    const survivors = [
      { file, guard: "count > 100", reason: "the wrapper refuses it before" },
      { file, guard: "count < 1", reason: "wrong" },
      { file, guard: "count == 7", reason: "gone" },
    ];
    const verdicts = await judge(
      { "packages/tiny/test/mutants/survivors.json": JSON.stringify(survivors) },
      { guards: true, planted: false },
    );
    expect(verdicts.map(({ good }) => good)).toEqual([true, false, true, false]);
    expect(verdicts[1]?.note).toContain("yet caught by refuses to take nothing");
    expect(verdicts[3]?.note).toContain("there is no such guard");
  });
});

describe("planted bugs", () => {
  it("are caught by the test that their patch names", async () => {
    const verdicts = await judge({}, { guards: false, planted: true });
    expect(verdicts).toHaveLength(2);
    expect(verdicts[1]).toMatchObject({ mutant: "tiny: it subtracts", good: true, note: "adds two numbers" });
  });

  it("that another test catches, that none catches and that do not apply fail the run", async () => {
    const patch = FILES["packages/tiny/test/mutants/1.patch"] ?? "";
    const verdicts = await judge(
      {
        "packages/tiny/test/mutants/2.patch": patch.replace("fails: adds two numbers", "fails: adds nothing"),
        "packages/tiny/test/mutants/3.patch": patch.replace("a - b", "b + a"),
        "packages/tiny/test/mutants/4.patch": patch.replace("-  return a + b", "-  return a * b"),
      },
      { guards: false, planted: true },
    );
    expect(verdicts.map(({ good }) => good)).toEqual([true, true, false, false, false]);
    expect(verdicts[2]?.note).toContain('"adds nothing" did not fail; failed instead: adds two numbers');
    expect(verdicts[3]?.note).toContain("nothing failed");
    expect(verdicts[4]?.note).toContain("does not apply");
  });

  it("prove nothing when the tests fail without them", async () => {
    const verdicts = await judge(
      { "packages/tiny/src/sum.ts": "export const sum = (): number => 4;\n" },
      { guards: false, planted: true },
    );
    expect(verdicts).toHaveLength(1);
    expect(verdicts[0]?.note).toContain("fails unchanged: adds two numbers");
  });

  it("say what they are", () => {
    expect(() => readPlantedBug("# bug: x\n--- a\n", "1.patch")).toThrow("1.patch: a patch begins with");
  });
});

describe("a part of them", () => {
  it("is what has the text in its name, by file, line, guard or bug", async () => {
    const both = { guards: true, planted: true };
    const named = async (only: string) => (await judge({}, { ...both, only })).slice(1).map(({ mutant }) => mutant);
    expect(await named("subtracts")).toEqual(["tiny: it subtracts"]);
    expect(await named("take.lua:14 count < 1")).toEqual(["tiny/src/scripts/take.lua:14 without: count < 1"]);
    expect(await judge({}, { ...both, only: "no such thing" })).toEqual([]);
  });
});

describe("a copy", () => {
  it("is mended to the state at its start, whatever was written in it or in the workspace", async () => {
    copy.write("packages/tiny/src/sum.ts", "broken(\n");
    write({ "packages/tiny/src/sum.ts": "changed meanwhile\n" });
    copy.mend();
    expect(await copy.apply(join(fixture, "packages/tiny/test/mutants/1.patch"))).toBeNull();
    copy.mend();
  });
});
