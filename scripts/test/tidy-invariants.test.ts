/** Every guarantee has a test: the repository, and violations planted to see them caught. */
import { describe, expect, it } from "vitest";
import { invariants } from "../invariants.ts";
import { everyInvariantHasATest } from "../tidy/invariant-titles.ts";
import { repositoryFiles } from "../tidy/source-file.ts";

const source = { path: "packages/timer/src/index.ts", text: "" };
const rule = everyInvariantHasATest({ timer: ["T1", "T2"] });
const caught = (text: string, path = "packages/timer/test/a.test.ts"): string[] => rule([source, { path, text }]);

describe("invariants", () => {
  const files = repositoryFiles();
  it.each(Object.keys(invariants))("of %s are each cited by the title of a test", (name) => {
    expect(everyInvariantHasATest({ [name]: invariants[name] ?? [] })(files)).toEqual([]);
  });

  it("that are all cited pass, however the test is written", () => {
    expect(caught('it("T1 holds", f); it.each([1])("T2 holds with %s", f);')).toEqual([]);
    expect(caught("test.concurrent(`T1 and T2 hold for ${x}`, f);")).toEqual([]);
  });

  it("without a test are named", () => {
    expect(caught('it("T1 holds", f);')).toEqual(["packages/timer: no test cites T2"]);
  });

  it.each([
    ["a comment", '// T2\nit("T1 holds", f);'],
    ["the title of a group alone", 'describe("T2", () => { it("T1 holds", f); });'],
    ["a longer word", 'it("T1 holds, XT2 and T21 apart", f);'],
  ])("are not cited by %s", (_, text) => {
    expect(caught(text)).toContain("packages/timer: no test cites T2");
  });

  it("are not cited by another package's test", () => {
    expect(caught('it("T1 and T2", f);', "packages/lock/test/a.test.ts")).toHaveLength(2);
  });

  it("that do not exist are caught where they are cited", () => {
    expect(caught('it("T1 T2", f);\nit("T3 holds", f);')).toEqual([
      "packages/timer/test/a.test.ts:2: there is no invariant T3",
    ]);
  });

  it("of a package that is not there yet are not asked for", () => {
    expect(everyInvariantHasATest({ lock: ["L1"] })([source])).toEqual([]);
  });
});
