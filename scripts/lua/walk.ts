/**
 * Owns the way through a Lua syntax tree: nodes with the path that leads to them, and the few shapes that rules and mutants look for.
 */
import type { CallExpression, Expression, Identifier, IndexExpression, Node } from "luaparse";

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && "type" in value && typeof value.type === "string";
}

/** The nodes right below a node, in the order of the source. */
function childrenOf(node: Node): Node[] {
  return Object.values(node)
    .flatMap((value: unknown) => (Array.isArray(value) ? (value as unknown[]) : [value]))
    .filter((value) => isNode(value));
}

/** Visits a node and all below it, parents first; `parents` ends with the nearest. */
export function walkLua(
  node: Node,
  visit: (node: Node, parents: readonly Node[]) => void,
  parents: readonly Node[] = [],
): void {
  visit(node, parents);
  const path = [...parents, node];
  for (const child of childrenOf(node)) if (child.type !== "Comment") walkLua(child, visit, path);
}

/** `KEYS[…]` or `ARGV[…]`. */
export function isInput(node: Node): node is IndexExpression & { base: Identifier } {
  return node.type === "IndexExpression" && node.base.type === "Identifier" && /^(KEYS|ARGV)$/.test(node.base.name);
}

/** The command of `redis.call("…")` or `redis.pcall("…")` in capitals, else null. */
export function redisCommand(node: Node): { readonly name: string; readonly protected: boolean } | null {
  if (node.type !== "CallExpression" || node.base.type !== "MemberExpression") return null;
  const { base, identifier } = node.base;
  if (base.type !== "Identifier" || base.name !== "redis" || !/^p?call$/.test(identifier.name)) return null;
  const first: Expression | undefined = node.arguments[0];
  const name = first?.type === "StringLiteral" ? first.value.toUpperCase() : "";
  return { name, protected: identifier.name === "pcall" };
}

/** The name of a plain function call, `unpack(…)`, or of one in a library, `math.max(…)`. */
export function calledName(node: CallExpression): string {
  if (node.base.type === "Identifier") return node.base.name;
  if (node.base.type !== "MemberExpression" || node.base.base.type !== "Identifier") return "";
  return `${node.base.base.name}.${node.base.identifier.name}`;
}
