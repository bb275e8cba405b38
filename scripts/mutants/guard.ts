/**
 * Owns the guards of a Lua file: every branch that ends in a `return`, at any depth. A mutant is the file with one of them never taken.
 */
import { readFileSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { luaFiles, readScript, sharedFragments } from "../lua/embed.ts";
import { lineAt, parseLua, rangeOf } from "../lua/parse.ts";
import { walkLua } from "../lua/walk.ts";

/** A guard in a file. */
export interface Guard {
  /** Relative to the workspace. */
  readonly file: string;
  readonly line: number;
  /** The condition as written, on one line: what a reason in `survivors.json` refers to. */
  readonly text: string;
  /** The file with this guard never taken. */
  readonly mutated: string;
}

/** The guards of a Lua source, in its order. */
export function guardsOf(source: string, file: string): Guard[] {
  const guards: Guard[] = [];
  walkLua(parseLua(source, file).chunk, (node) => {
    if (node.type !== "IfClause" && node.type !== "ElseifClause") return;
    if (node.body.at(-1)?.type !== "ReturnStatement") return;
    const [start, end] = rangeOf(node.condition);
    const text = source.slice(start, end).replace(/\s+/g, " ");
    const mutated = `${source.slice(0, start)}false${source.slice(end)}`;
    guards.push({ file, line: lineAt(source, start), text, mutated });
  });
  return guards;
}

/**
 * The guards of a package's scripts and of the shared fragments that they include. Fragments count as well when a test's own script includes
 * them: core has its fragments for other packages, and shows them with scripts in its tests.
 */
export function guardsOfPackage(root: string, folder: string): Guard[] {
  const read = sharedFragments(root, folder);
  const own = luaFiles(folder);
  const sources = new Map(own.map((path) => [relative(root, path), readFileSync(path, "utf8")]));
  for (const path of [...own, ...luaFiles(folder, "test/scripts")]) {
    for (const name of readScript(readFileSync(path, "utf8"), relative(root, path), read).fragments) {
      const fragment = read(name);
      if (fragment !== null) sources.set(fragment.file, fragment.text);
    }
  }
  return [...sources].flatMap(([file, text]) => guardsOf(text, file));
}

/** The test files that most likely catch a mutant of this Lua file: those named after it, and those about the scripts as such. */
export function likelyTests(testFiles: readonly string[], luaFile: string): string[] {
  const name = basename(luaFile, ".lua");
  return testFiles.filter((file) => {
    const stem = basename(file).replace(/\..*$/, "");
    return stem === name || stem.startsWith(`${name}-`) || stem.endsWith(`-${name}`) || stem === "scripts";
  });
}

/** Where a package keeps its mutants. */
export function mutantsFolder(packageFolder: string): string {
  return join(packageFolder, "test/mutants");
}
