/**
 * Owns the one directive of the Lua files, `-- @include token` on a line of its own: it stands for `packages/core/src/scripts/shared/token.lua`, or
 * for a file in the package's own `src/scripts/shared`. One level deep, so that what a script runs is never more than two files away.
 */
import { LuaFileError, lineAt, parseLua } from "./parse.ts";

/** Source with its includes in place. */
export interface Expanded {
  readonly text: string;
  /** The file and line that a line of `text` came from. */
  readonly place: (line: number) => { file: string; line: number };
  /** The fragments it stands on, in order. */
  readonly fragments: readonly string[];
}

/** Reads a shared fragment: its path for messages and its text, or null when there is none of that name. */
export type ReadFragment = (name: string) => { readonly file: string; readonly text: string } | null;

const DIRECTIVE = /^ @include ([a-z][a-z0-9-]*)$/;

function directives(source: string, file: string): Map<number, string> {
  const found = new Map<number, string>();
  for (const comment of parseLua(source, file).comments) {
    if (!comment.text.includes("@include")) continue;
    const line = lineAt(source, comment.range[0]);
    const name = DIRECTIVE.exec(comment.text)?.[1];
    if (name === undefined) throw new LuaFileError(file, line, "an include is written `-- @include fragment-name`");
    const before = source.slice(source.lastIndexOf("\n", comment.range[0] - 1) + 1, comment.range[0]);
    if (before.trim() !== "") throw new LuaFileError(file, line, "an include stands on a line of its own");
    found.set(line, name);
  }
  return found;
}

/** The lines of a fragment with the comment that opens it blanked, so that line numbers stay true. */
function fragmentLines(text: string, file: string): string[] {
  const inner = [...directives(text, file).keys()][0];
  if (inner !== undefined) throw new LuaFileError(file, inner, "a fragment includes nothing");
  const first = parseLua(text, file).comments[0];
  if (first === undefined || first.range[0] !== 0)
    throw new LuaFileError(file, 1, "a fragment begins with a comment that says what it needs and leaves");
  const blank = text.slice(0, first.range[1]).replace(/[^\n]/g, "");
  return (blank + text.slice(first.range[1])).trimEnd().split("\n");
}

/**
 * Puts every fragment in the place of its directive.
 * @throws LuaFileError for an unknown fragment, one included twice, or an include inside a fragment
 */
export function expandIncludes(source: string, file: string, read: ReadFragment): Expanded {
  const found = directives(source, file);
  const lines: string[] = [];
  const places: { file: string; line: number }[] = [];
  const fragments: string[] = [];
  for (const [index, text] of source.split("\n").entries()) {
    const name = found.get(index + 1);
    if (name === undefined) {
      lines.push(text);
      places.push({ file, line: index + 1 });
      continue;
    }
    const fragment = read(name);
    if (fragment === null) throw new LuaFileError(file, index + 1, `there is no shared fragment ${name}`);
    if (fragments.includes(name)) throw new LuaFileError(file, index + 1, `${name} is included twice`);
    fragments.push(name);
    for (const [at, inner] of fragmentLines(fragment.text, fragment.file).entries()) {
      lines.push(inner);
      places.push({ file: fragment.file, line: at + 1 });
    }
  }
  return { text: lines.join("\n"), place: (line) => places[line - 1] ?? { file, line }, fragments };
}
