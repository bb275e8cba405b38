/** Manifests, versions and places: the repository, and violations planted to see them caught. */
import { describe, expect, it } from "vitest";
import {
  nothingTellsWhereItWasWritten,
  publishedManifestsHaveOneShape,
  versionsStandInTheCatalog,
} from "../tidy/manifests.ts";
import { repositoryFiles } from "../tidy/source-file.ts";
import type { Rule } from "../tidy/source-file.ts";

const files = repositoryFiles();
const caught = (rule: Rule, path: string, text: string): string[] => rule([{ path, text }]);

describe("versions", () => {
  it("stand exactly and once, in the catalog", () => {
    expect(versionsStandInTheCatalog(files)).toEqual([]);
  });

  it.each(["^1.0.0", "1.0.0", "latest", "workspace:^"])("of a dependency that reads %s are caught", (range) => {
    expect(
      caught(
        versionsStandInTheCatalog,
        "packages/timer/package.json",
        JSON.stringify({ devDependencies: { x: range } }),
      ),
    ).toHaveLength(1);
  });

  it.each(["^1.0.0", "latest", "1.0", "npm:x@^1.0.0"])("in the catalog that read %s are caught", (version) => {
    const text = `catalog:\n  good: 1.0.0\n  "@a/b": ${version}\n  c: npm:d@1.0.0-rc.1\n`;
    expect(caught(versionsStandInTheCatalog, "pnpm-workspace.yaml", text)).toEqual([expect.stringContaining("@a/b")]);
  });
});

describe("published manifests", () => {
  const good = {
    license: "MIT",
    type: "module",
    sideEffects: false,
    engines: { node: ">=22.18" },
    exports: { ".": { "@holdfast/source": "./src/index.ts", types: "./dist/index.d.ts", default: "./dist/index.js" } },
  };
  const check = (manifest: object): string[] =>
    caught(publishedManifestsHaveOneShape, "packages/timer/package.json", JSON.stringify(manifest));

  it("have one shape", () => {
    expect(publishedManifestsHaveOneShape(files)).toEqual([]);
    expect(check(good)).toEqual([]);
  });

  it.each([
    ["license", { license: "ISC" }],
    ["type", { type: undefined }],
    ["sideEffects", { sideEffects: true }],
    ["engines.node", { engines: { node: ">=18" } }],
    ["exports", { exports: undefined }],
    ["exports . has", { exports: { ".": { types: "./dist/index.d.ts", default: "./dist/index.js" } } }],
  ])("that break it are caught by %s", (word, change) => {
    expect(check({ ...good, ...change })).toEqual([expect.stringContaining(word)]);
  });

  it("of private packages are their own affair", () => {
    expect(check({ private: true })).toEqual([]);
  });
});

describe("places", () => {
  it("of one machine or one registry stand nowhere", () => {
    expect(nothingTellsWhereItWasWritten(files)).toEqual([]);
  });

  it.each([
    ["registry.", "npmjs.org"],
    ["/ho", "me/anna/holdfast"],
    ["cd /ro", "ot/holdfast"],
    ['"/wo', 'rk/main/scripts"'],
    ["https://repo.example/artifact", "ory/npm/x"],
    ["  tar", "ball: x.tgz"],
    ["regis", "try=x"],
  ])("are caught: %s%s", (first, second) => {
    expect(caught(nothingTellsWhereItWasWritten, "README.md", `fine\n${first}${second}\n`)).toEqual([
      expect.stringMatching(/^README\.md:2: /),
    ]);
  });

  it.each(["https://redis.io/root/x", "packages/core/test/work/main", "the registry answers", "./home/x"])(
    "let through: %s",
    (text) => {
      expect(caught(nothingTellsWhereItWasWritten, "README.md", text)).toEqual([]);
    },
  );
});
