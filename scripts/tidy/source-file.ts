/**
 * Owns what the tidy rules look at: the tracked files with their text, and the syntax trees of the TypeScript ones.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseAst } from "vitest/node";
import { root, trackedFiles } from "../workspace.ts";

/** A file of the repository, its path relative to the root. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** A rule answers what is wrong, each line with its place. */
export type Rule = (files: readonly SourceFile[]) => string[];

/** A node of a syntax tree, as far as the rules know it. */
export interface TreeNode {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [field: string]: unknown;
}

const TEXT = /\.(ts|mts|mjs|js|json|jsonc|ya?ml|md|lua|sql|sh|toml|patch)$|^LICENSE$|^\.ci\/|^\.[a-z]+(ignore|rc)$/;

/** The tracked text files of the repository. */
export function repositoryFiles(): SourceFile[] {
  const paths = trackedFiles().filter((path) => TEXT.test(path));
  return paths.map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));
}

/** Whether a file is TypeScript (or plain JavaScript) that people write. */
export function isCode(file: SourceFile): boolean {
  return /\.(ts|mjs)$/.test(file.path) && !file.path.endsWith(".generated.ts");
}

/** Whether a file is a test. */
export function isTest(file: SourceFile): boolean {
  return file.path.endsWith(".test.ts");
}

/** The package a file belongs to, and whether it is published code: `packages/timer/src/x.ts` is `timer`, `src`. */
export function packageOf(path: string): { readonly name: string; readonly inSource: boolean } | null {
  const match = /^packages\/([^/]+)\/(.*)$/.exec(path);
  return match === null ? null : { name: match[1] ?? "", inSource: (match[2] ?? "").startsWith("src/") };
}

/** The place of a node: `path:line`. */
export function placeOf(file: SourceFile, node: TreeNode): string {
  return `${file.path}:${file.text.slice(0, node.start).split("\n").length}`;
}

const trees = new WeakMap<SourceFile, TreeNode>();

function treeOf(file: SourceFile): TreeNode {
  let tree = trees.get(file);
  if (tree === undefined) {
    tree = parseAst(file.text, { lang: "ts" }, file.path) as unknown as TreeNode;
    trees.set(file, tree);
  }
  return tree;
}

/** Whether a value is a node. */
export function isNode(value: unknown): value is TreeNode {
  return typeof value === "object" && value !== null && "type" in value && typeof value.type === "string";
}

function visitBelow(
  node: TreeNode,
  parents: readonly TreeNode[],
  visit: (node: TreeNode, parents: readonly TreeNode[]) => void,
): void {
  visit(node, parents);
  const path = [...parents, node];
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) visitBelow(child, path, visit);
  }
}

/** Visits every node of a file, parents before children; `parents` ends with the nearest. */
export function visitNodes(file: SourceFile, visit: (node: TreeNode, parents: readonly TreeNode[]) => void): void {
  visitBelow(treeOf(file), [], visit);
}

/** The text of a string literal or of a template without substitutions, else null. */
export function literalText(node: unknown): string | null {
  if (!isNode(node)) return null;
  if (node.type === "Literal" && typeof node["value"] === "string") return node["value"];
  if (node.type !== "TemplateLiteral") return null;
  const quasis = node["quasis"] as { value: { cooked: string } }[];
  return quasis.map((quasi) => quasi.value.cooked).join("${}");
}

/** The name of an identifier, else null. */
export function identifierName(node: unknown): string | null {
  return isNode(node) && node.type === "Identifier" ? (node["name"] as string) : null;
}

/** The property of a member expression, written with a dot or as a string in brackets, else null. */
export function memberName(node: TreeNode): string | null {
  if (node.type !== "MemberExpression") return null;
  return node["computed"] === true ? literalText(node["property"]) : identifierName(node["property"]);
}
