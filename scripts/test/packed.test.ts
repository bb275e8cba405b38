/** What users get: the contents of tarballs, and the examples of READMEs. */
import { describe, expect, it } from "vitest";
import { matchesOutput, readmeExamples } from "../check/readme-example.ts";
import { contentProblems } from "../check/tarball.ts";

const manifest = {
  name: "@holdfast/tiny",
  exports: { ".": { "@holdfast/source": "./src/index.ts", types: "./dist/index.d.ts", default: "./dist/index.js" } },
  dependencies: { "@holdfast/core": "0.1.0" },
};
const contents = [
  "LICENSE",
  "README.md",
  "package.json",
  "dist/index.js",
  "dist/index.js.map",
  "dist/index.d.ts",
  "src/index.ts",
  "src/scripts/a.lua",
];

describe("a tarball", () => {
  it("that holds what it needs passes", () => {
    expect(contentProblems({ contents, manifest })).toEqual([]);
  });

  it.each([
    ["lacks README.md", contents.filter((name) => name !== "README.md")],
    ["lacks LICENSE", contents.filter((name) => name !== "LICENSE")],
    ["has test/a.test.ts", [...contents, "test/a.test.ts"]],
    ["has tsconfig.json", [...contents, "tsconfig.json"]],
    ["has dist/build.tsbuildinfo", [...contents, "dist/build.tsbuildinfo"]],
    ["left by an older build", [...contents, "dist/gone.js"]],
    ["lacks dist/more.js", [...contents, "src/more.ts", "dist/more.d.ts"]],
    ["exports ./dist/index.d.ts, which it lacks", contents.filter((name) => name !== "dist/index.d.ts")],
  ])("that %s is caught", (problem, names) => {
    expect(contentProblems({ contents: names, manifest }).join("\n")).toContain(problem);
  });

  it.each(["workspace:*", "catalog:"])("whose manifest asks for %s is caught", (range) => {
    expect(contentProblems({ contents, manifest: { ...manifest, dependencies: { x: range } } })).toHaveLength(1);
  });
});

describe("a README", () => {
  const fence = "```";
  const text = [
    "# x",
    `${fence}ts run`,
    "a();",
    "",
    "b();",
    fence,
    "says",
    `${fence}text output`,
    "one",
    fence,
    `${fence}ts`,
    "no();",
    fence,
  ].join("\n");

  it("gives its programs with their lines and what they print", () => {
    expect(readmeExamples(text, "README.md")).toEqual([
      { file: "README.md", line: 2, code: "a();\n\nb();\n", expected: "one" },
    ]);
  });

  it("may have programs without an output, and blocks within blocks", () => {
    const nested = [
      `${fence}\`md`,
      `${fence}ts run`,
      "no();",
      fence,
      `${fence}\``,
      `${fence}ts run`,
      "a();",
      fence,
    ].join("\n");
    expect(readmeExamples(nested, "x.md")).toEqual([{ file: "x.md", line: 6, code: "a();\n", expected: null }]);
  });

  it("is held to what its programs print, except where it says …", () => {
    expect(matchesOutput("fired after … ms (late by …)\ndone", "fired after 61 ms (late by 1.2 ms)\ndone \n\n")).toBe(
      true,
    );
    expect(matchesOutput("fired after … ms", "fired after 61 s")).toBe(false);
    expect(matchesOutput("fired", "fired\nonce more")).toBe(false);
    expect(matchesOutput("one …\ntwo", "one\ntwo")).toBe(false);
    expect(matchesOutput("(a.b)", "(axb)")).toBe(false);
  });
});
