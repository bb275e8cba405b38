/**
 * Owns the header comment of a Lua file: its purpose and the names of its keys, arguments and replies. The typed wrappers are made from it,
 * and a tidy test holds it against what the script really does, so its form is strict.
 */
import { LuaFileError, lineAt } from "./parse.ts";
import type { LuaTree } from "./parse.ts";

/** What a Lua file says about itself. */
export interface LuaHeader {
  /** The file's base name. */
  readonly name: string;
  readonly purpose: string;
  readonly keys: readonly string[];
  readonly args: readonly string[];
  /** The name of the variadic tail of KEYS, or null. */
  readonly restKeys: string | null;
  /** The name of the variadic tail of ARGV, or null. */
  readonly rest: string | null;
  /** The first word of every reply. */
  readonly replies: readonly string[];
}

type Section = "KEYS" | "ARGV" | "REPLIES";
const SECTIONS: readonly string[] = ["KEYS", "ARGV", "REPLIES"] satisfies readonly Section[];
const ENTRY = /^ {2}(\S+)(?:\s+(.*))?$/;
const CONTINUATION = /^ {3,}\S/;
const NAME = /^[a-z][A-Za-z0-9]*$/;
const REPLY_TAG = /^[{\s]*"([A-Za-z][A-Za-z0-9-]*)/;

interface Line {
  readonly text: string;
  readonly number: number;
}

function headerLines(tree: LuaTree, file: string): Line[] {
  const first = tree.comments[0];
  if (first === undefined || first.range[0] !== 0 || !tree.source.startsWith("--[[\n")) {
    throw new LuaFileError(
      file,
      1,
      "a Lua file begins with its header comment: --[[ on the first line, the contract below it",
    );
  }
  const start = lineAt(tree.source, first.range[0]);
  const lines = first.text.split("\n").map((text, index) => ({ text: text.trimEnd(), number: start + index }));
  return lines.slice(1).filter((line) => line.text !== "");
}

function sections(lines: readonly Line[], file: string): { purpose: Line[]; entries: Record<Section, Line[]> } {
  const purpose: Line[] = [];
  const entries: Record<Section, Line[]> = { KEYS: [], ARGV: [], REPLIES: [] };
  let current: Line[] = purpose;
  const seen: string[] = [];
  for (const line of lines) {
    if (SECTIONS.includes(line.text)) {
      if (seen.length > 0 && SECTIONS.indexOf(line.text) <= SECTIONS.indexOf(seen.at(-1) ?? "")) {
        throw new LuaFileError(
          file,
          line.number,
          `${line.text} stands twice or after ${seen.at(-1)}: the order is KEYS, ARGV, REPLIES`,
        );
      }
      seen.push(line.text);
      current = entries[line.text as Section];
    } else {
      current.push(line);
    }
  }
  return { purpose, entries };
}

function names(lines: readonly Line[], file: string): { fixed: string[]; rest: string | null } {
  const fixed: string[] = [];
  let rest: string | null = null;
  for (const line of lines) {
    if (CONTINUATION.test(line.text)) continue;
    const match = ENTRY.exec(line.text);
    if (match === null)
      throw new LuaFileError(file, line.number, `two spaces, a name, a description; got ${JSON.stringify(line.text)}`);
    const word = match[1] ?? "";
    const name = word.replace(/\.\.\.$/, "");
    if (!NAME.test(name))
      throw new LuaFileError(file, line.number, `a camelCase name is wanted, got ${JSON.stringify(word)}`);
    if (match[2] === undefined) throw new LuaFileError(file, line.number, `${name} has no description`);
    if (rest !== null) throw new LuaFileError(file, line.number, `${name} stands after the variadic ${rest}...`);
    if (fixed.includes(name)) throw new LuaFileError(file, line.number, `${name} stands twice`);
    if (word.endsWith("...")) rest = name;
    else fixed.push(name);
  }
  return { fixed, rest };
}

function replyTags(lines: readonly Line[], file: string): string[] {
  const tags: string[] = [];
  for (const line of lines) {
    if (CONTINUATION.test(line.text)) continue;
    const tag = REPLY_TAG.exec(line.text)?.[1];
    if (tag === undefined || !line.text.startsWith("  ")) {
      throw new LuaFileError(
        file,
        line.number,
        `two spaces and a tagged reply such as {"granted", token}; got ${JSON.stringify(line.text)}`,
      );
    }
    if (!tags.includes(tag)) tags.push(tag);
  }
  return tags;
}

/**
 * Reads the header of a script.
 * @throws LuaFileError naming the line that breaks the form
 */
export function readHeader(tree: LuaTree, file: string, name: string): LuaHeader {
  const lines = headerLines(tree, file);
  const { purpose, entries } = sections(lines, file);
  const first = purpose[0];
  if (first === undefined || !first.text.startsWith(`${name}: `)) {
    throw new LuaFileError(file, first?.number ?? 2, `the header opens with "${name}: " and the purpose`);
  }
  const keys = names(entries.KEYS, file);
  const args = names(entries.ARGV, file);
  const replies = replyTags(entries.REPLIES, file);
  if (replies.length === 0) throw new LuaFileError(file, 1, "the header has no REPLIES");
  const text = purpose.map((line) => line.text.trim()).join(" ");
  return {
    name,
    purpose: text.slice(name.length + 2),
    keys: keys.fixed,
    restKeys: keys.rest,
    args: args.fixed,
    rest: args.rest,
    replies,
  };
}
