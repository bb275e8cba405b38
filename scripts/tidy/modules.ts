/**
 * The rules on the form of modules: named exports only, names that say what is inside, no suppressed compiler error, bounded length.
 */
import { basename } from "node:path";
import { identifierName, isCode, isNode, placeOf, visitNodes } from "./source-file.ts";
import type { Rule, SourceFile } from "./source-file.ts";

const VAGUE_NAMES = new Set(["util", "utils", "helper", "helpers", "common", "misc", "lib", "libs", "types"]);
const KEBAB = /^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9-]+)*$/;
const TOOL_CONFIG = /(^|\/)[a-z]+\.config\.ts$/;
const FOREIGN_DECLARATION = /\.d\.ts$/;
const LINES_SOFT = 300;
const LINES_HARD = 400;
const LUA_LINES_HARD = 110;

/**
 * `export default`, `export { x as default }` and `export *`. A tool's config file has no choice, and neither has a declaration of
 * somebody else's package.
 */
export const exportsAreNamed: Rule = (files) => {
  const problems: string[] = [];
  for (const file of files
    .filter(({ path }) => !TOOL_CONFIG.test(path) && !FOREIGN_DECLARATION.test(path))
    .filter(isCode)) {
    visitNodes(file, (node) => {
      if (node.type === "ExportAllDeclaration")
        problems.push(`${placeOf(file, node)}: export * hides what is exported`);
      const renamed = node.type === "ExportSpecifier" && identifierName(node["exported"]) === "default";
      if (node.type === "ExportDefaultDeclaration" || renamed)
        problems.push(`${placeOf(file, node)}: a default export`);
    });
  }
  return problems;
};

/** Folders and files that are named after a kind of thing, or not in kebab case. */
export const namesSaySomething: Rule = (files) => {
  const owned = files.filter(({ path }) => /^(packages|examples|scripts|test-chaos|benchmarks)\//.test(path));
  return owned.flatMap(({ path }) => {
    const parts = path.split("/");
    const stems = parts.map((part) => part.replace(/\..*$/, ""));
    const vague = stems.find((stem) => VAGUE_NAMES.has(stem));
    if (vague !== undefined) return [`${path}: ${vague} says nothing about what is inside`];
    const code = /\.(ts|mjs|lua|sql)$/.test(path);
    return code && !KEBAB.test(basename(path)) ? [`${path}: file names are kebab-case`] : [];
  });
};

/** Compiler errors that are silenced instead of expected. */
export const errorsAreNotSilenced: Rule = (files) => {
  const silencer = new RegExp(`@ts-(${["ignore", "nocheck"].join("|")})\\b`);
  return files.filter(isCode).flatMap((file) =>
    file.text.split("\n").flatMap((line, index) => {
      return silencer.test(line) ? [`${file.path}:${index + 1}: expect the error instead, with its reason`] : [];
    }),
  );
};

function lineCount(file: SourceFile): number {
  return file.text.trimEnd().split("\n").length;
}

/** Lines of code in a Lua file: its header and comments are no length to shun. */
function luaLineCount(file: SourceFile): number {
  const code = file.text.replace(/--\[(=*)\[[\s\S]*?\]\1\]/g, "").split("\n");
  return code.filter((line) => !/^\s*(--.*)?$/.test(line)).length;
}

/** Files beyond the hard limits; the soft ones are for the author's eye. */
export const filesAreShort: Rule = (files) => {
  return files.flatMap((file) => {
    if (file.path.endsWith(".lua")) {
      const lines = luaLineCount(file);
      return lines > LUA_LINES_HARD ? [`${file.path}: ${lines} lines of Lua, ${LUA_LINES_HARD} at most`] : [];
    }
    const lines = isCode(file) ? lineCount(file) : 0;
    return lines > LINES_HARD ? [`${file.path}: ${lines} lines, aim at ${LINES_SOFT}, ${LINES_HARD} at most`] : [];
  });
};

/** `runIf` is not among them: what only some machines can show says so in the code, and the totals count it as skipped. */
const SWITCHES = new Set(["only", "skip", "todo", "fails", "skipIf"]);
const RUNNERS = new Set(["it", "test", "describe", "suite", "bench"]);

/** Tests that are left out, or that leave out the others. */
export const everyTestRuns: Rule = (files) => {
  const problems: string[] = [];
  for (const file of files.filter(({ path }) => /\.(test|test-d|bench)\.ts$/.test(path))) {
    visitNodes(file, (node, parents) => {
      const property = node.type === "MemberExpression" ? identifierName(node["property"]) : null;
      if (property === null || !SWITCHES.has(property)) return;
      let base: unknown = node["object"];
      while (isNode(base) && base.type === "MemberExpression") base = base["object"];
      const called = parents.at(-1)?.type === "CallExpression" && parents.at(-1)?.["callee"] === node;
      const ofContext = called && property === "skip" && identifierName(node["object"]) !== null;
      if (RUNNERS.has(identifierName(base) ?? "") || ofContext)
        problems.push(`${placeOf(file, node)}: .${property}: every test runs, everywhere`);
    });
  }
  return problems;
};
