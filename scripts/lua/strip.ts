/**
 * Owns what of a Lua file is embedded: its code, line for line, without comments and blank lines. Redis keeps every script's text in memory
 * and an EVAL after a restart sends it whole.
 */
import { rangeOf } from "./parse.ts";
import type { LuaTree } from "./parse.ts";

/** The lines whose text lies inside a long string and so must stay as they are. */
function keptLines(text: string, literals: readonly (readonly [number, number])[]): Set<number> {
  const kept = new Set<number>();
  for (const [start, end] of literals) {
    const first = text.slice(0, start).split("\n").length;
    const breaks = text.slice(start, end).split("\n").length - 1;
    for (let line = first; line < first + breaks; line += 1) kept.add(line);
    if (breaks > 0) kept.add(first + breaks);
  }
  return kept;
}

/** The code of a parsed file, ending in one line break. */
export function stripComments(tree: LuaTree): string {
  let text = "";
  let from = 0;
  const shifts: { readonly at: number; readonly by: number }[] = [];
  for (const { range } of tree.comments) {
    const comment = tree.source.slice(range[0], range[1]);
    const left = comment.includes("\n") ? "\n" : " ";
    text += tree.source.slice(from, range[0]) + left;
    shifts.push({ at: range[1], by: comment.length - left.length });
    from = range[1];
  }
  text += tree.source.slice(from);
  const moved = (offset: number): number =>
    shifts.reduce((sum, shift) => (shift.at <= offset ? sum - shift.by : sum), offset);
  const literals = tree.nodes
    .filter((node) => node.type === "StringLiteral")
    .map((node) => rangeOf(node))
    .map(([start, end]) => [moved(start), moved(end)] as const);
  const kept = keptLines(text, literals);
  const lines = text.split("\n").flatMap((line, index) => {
    if (kept.has(index + 1)) return [line];
    return line.trim() === "" ? [] : [line.trimEnd()];
  });
  return `${lines.join("\n")}\n`;
}
