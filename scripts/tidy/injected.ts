/**
 * The rule that time, chance and the surroundings of a process are injected: published code reads no clock but the one it was given, and
 * neither prints, nor reads the environment, nor listens to signals.
 */
import {
  identifierName,
  isCode,
  isNode,
  literalText,
  memberName,
  packageOf,
  placeOf,
  visitNodes,
} from "./source-file.ts";
import type { Rule, SourceFile, TreeNode } from "./source-file.ts";

const CLOCK_FILE = "packages/core/src/clock.ts";
const EXEMPT_PACKAGES = new Set(["testkit"]);

const TIMERS = new Set(["setTimeout", "setInterval", "setImmediate"]);
const TIME_MEMBERS = new Set(["Date.now", "Math.random", "performance.now", "performance.timeOrigin"]);
/** One defers within the same turn of the event loop, the other is heard only by who listens: neither is time nor surroundings. */
const PROCESS_ALLOWED = new Set(["nextTick", "emitWarning"]);
const TIME_MODULES = /^(node:)?(timers|timers\/promises|perf_hooks)$/;
/** What a module of time has that knows no time: it holds the numbers that it is handed. */
const TIMELESS = new Set(["createHistogram", "RecordableHistogram"]);
const PROCESS_MODULE = /^(node:)?process$/;

/** The object that a member is taken from, with `globalThis.` left out: `globalThis.Date` is `Date`. */
function objectName(node: unknown): string | null {
  if (!isNode(node)) return null;
  if (node.type === "MemberExpression") return isGlobal(node["object"]) ? memberName(node) : null;
  return identifierName(node);
}

function isGlobal(node: unknown): boolean {
  return identifierName(node) === "globalThis" || identifierName(node) === "global";
}

function memberProblem(object: string | null, member: string | null, time: boolean): string | null {
  if (object === "process" && !PROCESS_ALLOWED.has(member ?? "")) return `process.${member}`;
  if (object === "console") return `console.${member}`;
  return time && TIME_MEMBERS.has(`${object}.${member}`) ? `${object}.${member}` : null;
}

function destructured(node: TreeNode, time: boolean): string | null {
  if (node.type !== "VariableDeclarator" || !isNode(node["id"]) || node["id"].type !== "ObjectPattern") return null;
  const keys = (node["id"]["properties"] as TreeNode[]).map((property) => identifierName(property["key"]));
  const whole = isGlobal(node["init"]);
  for (const key of keys) {
    const found = whole ? globalProblem(key, time) : memberProblem(objectName(node["init"]), key, time);
    if (found !== null) return found;
  }
  return null;
}

function globalProblem(name: string | null, time: boolean): string | null {
  if (name !== null && time && TIMERS.has(name)) return name;
  return name === "console" || name === "process" ? name : null;
}

const TYPE_OR_DECLARATION =
  /^(TSTypeQuery|TSTypeReference|TSQualifiedName|TS\w+Signature|ClassDeclaration|ImportSpecifier|ExportSpecifier)$/;

/** Whether an identifier names a variable, and not a property, a key, a type or a declaration. */
function isReference(node: TreeNode, parent: TreeNode | undefined): boolean {
  if (parent === undefined) return true;
  if (parent.type === "MemberExpression") return parent["object"] === node || parent["computed"] === true;
  if (/^(Property|MethodDefinition|PropertyDefinition)$/.test(parent.type)) return parent["value"] === node;
  if (/Function/.test(parent.type)) return parent["body"] === node;
  return !TYPE_OR_DECLARATION.test(parent.type);
}

function nodeProblem(node: TreeNode, parent: TreeNode | undefined, time: boolean): string | null {
  switch (node.type) {
    case "MemberExpression":
      if (isGlobal(node["object"])) return globalProblem(memberName(node), time);
      return memberProblem(objectName(node["object"]), memberName(node), time);
    case "VariableDeclarator":
      return destructured(node, time);
    case "NewExpression":
    case "CallExpression": {
      const bare = (node["arguments"] as unknown[]).length === 0;
      return time && objectName(node["callee"]) === "Date" && bare ? "the present time by Date" : null;
    }
    case "Identifier":
      return time && TIMERS.has(node["name"] as string) && isReference(node, parent) ? (node["name"] as string) : null;
    case "ImportDeclaration":
    case "ImportExpression": {
      const source = literalText(node["source"]) ?? "";
      if (importsOnly(node, TIMELESS)) return null;
      return PROCESS_MODULE.test(source) || (time && TIME_MODULES.test(source)) ? `import of ${source}` : null;
    }
    default:
      return null;
  }
}

/** Whether a declaration imports names of the set alone. */
function importsOnly(node: TreeNode, names: ReadonlySet<string>): boolean {
  const specifiers = node["specifiers"];
  return (
    Array.isArray(specifiers) &&
    specifiers.length > 0 &&
    specifiers.every((specifier) => isNode(specifier) && names.has(identifierName(specifier["imported"]) ?? ""))
  );
}

function problemsIn(file: SourceFile): string[] {
  const time = file.path !== CLOCK_FILE;
  const problems: string[] = [];
  visitNodes(file, (node, parents) => {
    const found = nodeProblem(node, parents.at(-1), time);
    if (found !== null) problems.push(`${placeOf(file, node)}: ${found} in published code: take it from the options`);
  });
  return problems;
}

/** Clocks, chance, output, environment and signals used directly. */
export const surroundingsAreInjected: Rule = (files) => {
  return files.filter(isCode).flatMap((file) => {
    const owner = packageOf(file.path);
    return owner === null || !owner.inSource || EXEMPT_PACKAGES.has(owner.name) ? [] : problemsIn(file);
  });
};
