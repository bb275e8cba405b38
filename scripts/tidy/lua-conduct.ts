/**
 * The rules on what a Lua script does: one reading of the clock, tokens without lost digits, hints that cannot fail a script, tagged replies,
 * and nothing that only one version of Lua knows.
 */
import type { Node } from "luaparse";
import type { LuaScript } from "../lua/embed.ts";
import { calledName, isInput, redisCommand, walkLua } from "../lua/walk.ts";

const REPEATS = /^(While|Repeat|ForNumeric|ForGeneric)Statement$|^FunctionDeclaration$/;
const ONE_VERSION_ONLY = new Set([
  "loadstring",
  "setfenv",
  "getfenv",
  "math.pow",
  "math.mod",
  "table.getn",
  "table.maxn",
  "string.gfind",
]);
const EXACT_FORMAT = "%.0f";
const NUMBERED = /(token|generation)$/i;

function clockProblems(script: LuaScript): string[] {
  const readings: string[] = [];
  walkLua(script.expanded.chunk, (node, parents) => {
    if (redisCommand(node)?.name === "TIME")
      readings.push(parents.some((parent) => REPEATS.test(parent.type)) ? "repeated" : "once");
  });
  if (readings.length > 1)
    return [`${script.file}: TIME is read ${readings.length} times, fragments included: once, then passed on (K2)`];
  return readings[0] === "repeated"
    ? [`${script.file}: TIME is read in a loop or a function: once, at the top (K2)`]
    : [];
}

/** Numbers made here that grow past 14 digits: the variables named after them, when an arithmetic result goes in. */
function numberedVariables(chunk: Node): string[] {
  const names: string[] = [];
  const arithmetic = (node: Node | undefined): boolean => {
    if (node?.type === "BinaryExpression") return /^[-+*]$/.test(node.operator);
    return node?.type === "CallExpression" && calledName(node) === "math.max";
  };
  walkLua(chunk, (node) => {
    if (node.type !== "LocalStatement" && node.type !== "AssignmentStatement") return;
    for (const [position, variable] of node.variables.entries()) {
      if (variable.type === "Identifier" && NUMBERED.test(variable.name) && arithmetic(node.init[position]))
        names.push(variable.name);
    }
  });
  return names;
}

function digitProblems(script: LuaScript): string[] {
  const { chunk } = script.expanded;
  const names = new Set(numberedVariables(chunk));
  const problems: string[] = [];
  let formatted = false;
  walkLua(chunk, (node) => {
    if (node.type === "StringLiteral" && node.value.includes(EXACT_FORMAT)) formatted = true;
    const numbered = (operand: Node | undefined): string | null =>
      operand?.type === "Identifier" && names.has(operand.name) ? operand.name : null;
    const joined =
      node.type === "BinaryExpression" && node.operator === ".." ? (numbered(node.left) ?? numbered(node.right)) : null;
    const told = node.type === "CallExpression" && calledName(node) === "tostring" ? numbered(node.arguments[0]) : null;
    const name = joined ?? told;
    if (name !== null)
      problems.push(
        `${script.file}: ${name} becomes text with 14 digits: string.format("${EXACT_FORMAT}", ${name}) (K5)`,
      );
  });
  if (names.size > 0 && !formatted)
    problems.push(`${script.file}: ${[...names].join(", ")} is computed and never written with "${EXACT_FORMAT}" (K5)`);
  return problems;
}

function hintProblems(script: LuaScript): string[] {
  const problems: string[] = [];
  walkLua(script.expanded.chunk, (node) => {
    const command = redisCommand(node);
    if (command !== null && /^S?PUBLISH$/.test(command.name) && !command.protected)
      problems.push(`${script.file}: ${command.name} goes through redis.pcall (K4)`);
  });
  return problems;
}

function replyProblems(script: LuaScript): string[] {
  const problems: string[] = [];
  const spoken = new Set<string>();
  walkLua(script.expanded.chunk, (node, parents) => {
    if (node.type === "StringLiteral") spoken.add(/^[A-Za-z][A-Za-z0-9-]*/.exec(node.value)?.[0] ?? "");
    if (node.type !== "ReturnStatement" || parents.some(({ type }) => type === "FunctionDeclaration")) return;
    const reply = node.arguments[0];
    const number = reply?.type === "UnaryExpression" ? reply.argument.type : reply?.type;
    if (number === "NumericLiteral" || reply?.type === "BooleanLiteral")
      problems.push(`${script.file}: a reply is tagged, not a number or a boolean`);
    const field = reply?.type === "TableConstructorExpression" ? reply.fields[0] : undefined;
    const tag = field?.type === "TableValue" && field.value.type === "StringLiteral" ? field.value.value : null;
    if (tag !== null && !script.header.replies.includes(tag))
      problems.push(`${script.file}: the header does not know the reply "${tag}"`);
  });
  for (const tag of script.header.replies)
    if (!spoken.has(tag)) problems.push(`${script.file}: the reply "${tag}" of the header is never given`);
  return problems;
}

function versionProblems(script: LuaScript): string[] {
  const problems: string[] = [];
  let ownUnpack = false;
  walkLua(script.expanded.chunk, (node) => {
    if (node.type === "LocalStatement" && node.variables.some(({ name }) => name === "unpack")) ownUnpack = true;
    if (node.type !== "CallExpression") return;
    const name = calledName(node);
    if (ONE_VERSION_ONLY.has(name)) problems.push(`${script.file}: ${name} is not in both Lua 5.1 and 5.4 (K6)`);
    if (name === "unpack" && !ownUnpack)
      problems.push(`${script.file}: local unpack = table.unpack or unpack comes first (K6)`);
  });
  return problems;
}

/** What a script does that it may not. */
export function conductProblems(script: LuaScript): string[] {
  return [clockProblems, digitProblems, hintProblems, replyProblems, versionProblems].flatMap((rule) => rule(script));
}

/** A fragment reads no input: the script that includes it binds the names. */
export function fragmentProblems(file: string, chunk: Node): string[] {
  let reads = false;
  walkLua(chunk, (node) => {
    if (isInput(node) || (node.type === "Identifier" && /^(KEYS|ARGV)$/.test(node.name))) reads = true;
  });
  return reads ? [`${file}: a fragment reads no KEYS and no ARGV: it takes names that its script has bound`] : [];
}
