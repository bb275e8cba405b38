/**
 * Owns the one call of luaparse: Lua 5.1 as Redis runs it, with comments and character ranges, and errors that name the file and the line.
 */
import luaparse from "luaparse";
import type { Chunk, Node } from "luaparse";

/** A comment of a Lua file with its place. */
export interface LuaComment {
  /** The text without its marks. */
  readonly text: string;
  /** The first character, and the one after the last. */
  readonly range: readonly [number, number];
}

/** A parsed Lua file. */
export interface LuaTree {
  readonly source: string;
  readonly chunk: Chunk;
  /** Every node in the order in which luaparse completed it: children before parents. */
  readonly nodes: readonly Node[];
  readonly comments: readonly LuaComment[];
}

/** A Lua file that cannot be used, with the place to look at. */
export class LuaFileError extends Error {
  override readonly name = "LuaFileError";
  readonly file: string;
  readonly line: number;

  constructor(file: string, line: number, what: string) {
    super(`${file}:${line}: ${what}`);
    this.file = file;
    this.line = line;
  }
}

/** A comment without its marks; luaparse's own value lacks the first line break of a long one. */
function inner(comment: string): string {
  const long = /^--\[(=*)\[/.exec(comment);
  return long === null ? comment.slice(2) : comment.slice(long[0].length, -(long[0].length - 2));
}

/** The 1-based line of a character. */
export function lineAt(source: string, offset: number): number {
  let line = 1;
  for (let at = source.indexOf("\n"); at !== -1 && at < offset; at = source.indexOf("\n", at + 1)) line += 1;
  return line;
}

/** The character range of a node; luaparse sets it on every node when asked for ranges. */
export function rangeOf(node: Node): readonly [number, number] {
  const { range } = node as { range?: [number, number] };
  if (range === undefined) throw new TypeError(`a ${node.type} without a range`);
  return range;
}

/**
 * Parses a Lua file.
 * @param source its text
 * @param file its name, for errors
 * @param place maps a line of `source` to the file and line that a reader would open (for expanded includes)
 * @throws LuaFileError when it is not Lua 5.1
 */
export function parseLua(
  source: string,
  file: string,
  place?: (line: number) => { file: string; line: number },
): LuaTree {
  const nodes: Node[] = [];
  try {
    const chunk = luaparse.parse(source, {
      luaVersion: "5.1",
      comments: true,
      ranges: true,
      locations: true,
      encodingMode: "x-user-defined",
      onCreateNode: (node) => nodes.push(node),
    });
    const found = (chunk.comments ?? []) as unknown as { range: [number, number] }[];
    const comments = found.map(({ range }) => ({ text: inner(source.slice(range[0], range[1])), range }));
    return { source, chunk, nodes, comments };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    const line = (error as SyntaxError & { line?: number }).line ?? 1;
    const at = place?.(line) ?? { file, line };
    throw new LuaFileError(at.file, at.line, error.message.replace(/^\[\d+:\d+\]\s*/, ""));
  }
}
