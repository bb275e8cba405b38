/**
 * The rule that a Lua header tells the truth about inputs: the first lines bind every key and argument in the header's order to the header's
 * names, and nothing below reads KEYS or ARGV by a number, apart from the loop over the variadic tail.
 */
import type { LocalStatement, Node, Statement } from "luaparse";
import type { LuaScript } from "../lua/embed.ts";
import { rangeOf, lineAt } from "../lua/parse.ts";
import { isInput, walkLua } from "../lua/walk.ts";

interface Input {
  readonly list: "KEYS" | "ARGV";
  /** 1-based, or null when it is computed. */
  readonly index: number | null;
  readonly node: Node;
}

function inputsBelow(node: Node): Input[] {
  const found: Input[] = [];
  walkLua(node, (each) => {
    if (!isInput(each)) return;
    const index = each.index.type === "NumericLiteral" ? each.index.value : null;
    found.push({ list: each.base.name as Input["list"], index, node: each });
  });
  return found;
}

/** The statements that bind: the leading `local`s up to the last one that reads an input. Fragments and functions may not come between. */
function bindingStatements(body: readonly Statement[]): LocalStatement[] {
  const leading: LocalStatement[] = [];
  for (const statement of body) {
    if (statement.type !== "LocalStatement" || inputsBelow(statement).every(({ index }) => index === null)) break;
    leading.push(statement);
  }
  return leading;
}

function bindingProblems(
  script: LuaScript,
  statements: readonly LocalStatement[],
  at: (node: Node) => string,
): string[] {
  const { keys, args } = script.header;
  const wanted = { KEYS: keys, ARGV: args };
  const bound = { KEYS: 0, ARGV: 0 };
  const problems: string[] = [];
  for (const statement of statements) {
    for (const [position, init] of statement.init.entries()) {
      const name = statement.variables[position]?.name ?? "";
      for (const { list, index, node } of inputsBelow(init)) {
        if (index === null) continue;
        bound[list] += 1;
        const expected = wanted[list][index - 1];
        if (index !== bound[list]) problems.push(`${at(node)}: ${list}[${index}] is bound out of order`);
        else if (expected === undefined) problems.push(`${at(node)}: the header declares no ${list}[${index}]`);
        else if (expected !== name)
          problems.push(`${at(node)}: ${list}[${index}] is ${expected} in the header and ${name} here`);
      }
    }
  }
  for (const list of ["KEYS", "ARGV"] as const) {
    const missing = wanted[list].slice(bound[list]);
    for (const name of missing)
      problems.push(`${script.file}: ${name} is declared in ${list} and not bound by the first lines`);
  }
  return problems;
}

/** What a script does with its inputs that its header does not say. */
export function inputProblems(script: LuaScript): string[] {
  const { written, header, file } = script;
  const at = (node: Node): string => `${file}:${lineAt(written.source, rangeOf(node)[0])}`;
  const statements = bindingStatements(written.chunk.body);
  const problems = bindingProblems(script, statements, at);
  let readsRest = false;
  let readsRestKeys = false;
  const below = written.chunk.body.filter((statement) => !statements.some((binding) => binding === statement));
  for (const statement of below) {
    walkLua(statement, (node, parents) => {
      if (node.type !== "Identifier" || !/^(KEYS|ARGV)$/.test(node.name)) return;
      const parent = parents.at(-1);
      const fixed = parent !== undefined && isInput(parent) && parent.index.type === "NumericLiteral";
      if (fixed || (node.name === "KEYS" && header.restKeys === null))
        problems.push(`${at(node)}: ${node.name} is read below the lines that bind`);
      else if (node.name === "KEYS") readsRestKeys = true;
      else readsRest = true;
    });
  }
  if (readsRest && header.rest === null)
    problems.push(`${file}: ARGV is read as a list, but the header declares no name...`);
  if (!readsRestKeys && header.restKeys !== null)
    problems.push(`${file}: ${header.restKeys}... is declared in KEYS and never read`);
  if (!readsRest && header.rest !== null) problems.push(`${file}: ${header.rest}... is declared and never read`);
  return problems;
}
