/**
 * Owns the way from a package's Lua files to the text of its `scripts.generated.ts`.
 */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { readHeader } from "./header.ts";
import type { LuaHeader } from "./header.ts";
import { expandIncludes } from "./include.ts";
import type { ReadFragment } from "./include.ts";
import { LuaFileError, parseLua } from "./parse.ts";
import type { LuaTree } from "./parse.ts";
import { constantName, renderModule } from "./render.ts";
import { stripComments } from "./strip.ts";

/** One Lua file in all its forms. */
export interface LuaScript {
  readonly file: string;
  readonly header: LuaHeader;
  /** The file as written. */
  readonly written: LuaTree;
  /** The file with its fragments in place. */
  readonly expanded: LuaTree;
  readonly fragments: readonly string[];
}

const RESERVED = new Set([
  "delete",
  "new",
  "return",
  "switch",
  "case",
  "default",
  "export",
  "import",
  "in",
  "with",
  "yield",
  "await",
  "void",
  "try",
  "catch",
]);

/** Where fragments lie: those that several packages share in core, those of one package's scripts beside them. */
export function fragmentFolders(root: string, folder: string): string[] {
  return [join(root, "packages/core/src/scripts/shared"), join(folder, "src/scripts/shared")].filter((path) =>
    existsSync(path),
  );
}

/** Reads the fragments that the scripts of a package may include. Core's come first: a package cannot replace one. */
export function sharedFragments(root: string, folder: string): ReadFragment {
  const folders = fragmentFolders(root, folder);
  return (name) => {
    const file = folders.map((path) => join(path, `${name}.lua`)).find((path) => existsSync(path));
    return file === undefined ? null : { file: relative(root, file), text: readFileSync(file, "utf8") };
  };
}

/**
 * The Lua files of a package, sorted; none when it has no scripts.
 * @param under `test/scripts` for those that only its tests run
 */
export function luaFiles(folder: string, under: "src/scripts" | "test/scripts" = "src/scripts"): string[] {
  const scripts = join(folder, under);
  if (!existsSync(scripts)) return [];
  const names = readdirSync(scripts).filter((name) => name.endsWith(".lua"));
  return names.toSorted().map((name) => join(scripts, name));
}

/**
 * Reads one script.
 * @param text the file's text
 * @param file its path for messages
 * @throws LuaFileError
 */
export function readScript(text: string, file: string, read: ReadFragment): LuaScript {
  const written = parseLua(text, file);
  const name = basename(file, ".lua");
  if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name)) throw new LuaFileError(file, 1, "Lua files have kebab-case names");
  if (RESERVED.has(constantName(name)))
    throw new LuaFileError(file, 1, `${name} is a reserved word of TypeScript; take another verb`);
  const header = readHeader(written, file, name);
  const { text: whole, place, fragments } = expandIncludes(text, file, read);
  return { file, header, written, expanded: parseLua(whole, file, place), fragments };
}

/**
 * The text of a package's `scripts.generated.ts`, or null when the package has no Lua files.
 * @param root the repository the fragments are read from
 * @param folder the package
 * @throws LuaFileError
 */
export function generatedModule(root: string, folder: string): string | null {
  const read = sharedFragments(root, folder);
  const scripts = luaFiles(folder).map((file) => readScript(readFileSync(file, "utf8"), relative(root, file), read));
  if (scripts.length === 0) return null;
  const packageName = basename(folder);
  return renderModule(
    scripts.map(({ header, expanded }) => ({ packageName, header, source: stripComments(expanded) })),
  );
}
