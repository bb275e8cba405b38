/**
 * The rule of the floors (ARCHITECTURE.md): an import only ever points down, packages on one floor never import one another, the testkit is
 * for tests, examples, the chaos suite and the benchmarks only. A package's tests may embed Lua of their own with the generator's modules.
 */
import { dirname, join } from "node:path";
import { isCode, literalText, packageOf, placeOf, visitNodes } from "./source-file.ts";
import type { Rule, SourceFile, TreeNode } from "./source-file.ts";

const FLOORS: ReadonlyMap<string, number> = new Map([
  ["core", 0],
  ["testkit", 0],
  ["lock", 1],
  ["timer", 1],
  ["idempotency", 1],
  ["inventory", 1],
  ["bulkhead", 1],
  ["scope", 1],
  ["scheduler", 2],
  ["postgres", 2],
]);
const TOP_FLOOR = 3;

/** An import or re-export and where it stands. */
interface Import {
  readonly specifier: string;
  readonly node: TreeNode;
}

function importsOf(file: SourceFile): Import[] {
  const found: Import[] = [];
  visitNodes(file, (node) => {
    if (!/^(Import(Declaration|Expression)|Export(Named|All)Declaration|TSImportType)$/.test(node.type)) return;
    const specifier = literalText(node["source"] ?? node["argument"]);
    if (specifier !== null) found.push({ specifier, node });
  });
  return found;
}

function subject(path: string): { name: string; floor: number; inSource: boolean } | null {
  const owner = packageOf(path);
  if (owner !== null) return { name: owner.name, floor: FLOORS.get(owner.name) ?? -1, inSource: owner.inSource };
  return /^(examples|test-chaos|benchmarks|scripts)\//.test(path)
    ? { name: "", floor: TOP_FLOOR, inSource: false }
    : null;
}

function problem(path: string, specifier: string): string | null {
  const from = subject(path);
  if (from === null) return null;
  if (from.floor === -1) return `the package ${from.name} stands on no floor: add it to scripts/tidy/imports.ts`;
  if (specifier.startsWith(".")) {
    const target = join(dirname(path), specifier);
    const home =
      from.name === "" ? /^(examples|test-chaos|benchmarks|scripts)\// : new RegExp(`^packages/${from.name}/`);
    const generator = from.name !== "" && !from.inSource && target.startsWith("scripts/lua/");
    if (!home.test(target) && !generator) return `${specifier} leaves its package`;
    if (from.inSource && packageOf(target)?.inSource === false) return `${specifier} leaves src/`;
    return null;
  }
  const to = /^@holdfast\/([^/]+)/.exec(specifier)?.[1];
  if (to === undefined || to === from.name)
    return to === undefined ? null : `${specifier} is the package's own name: import the file`;
  const floor = FLOORS.get(to);
  if (floor === undefined) return `${specifier} stands on no floor`;
  if (to === "testkit") return from.inSource ? `${specifier} is for tests, examples, test-chaos and benchmarks` : null;
  return floor < from.floor
    ? null
    : `${specifier} is on floor ${floor}, its importer on floor ${from.floor}: imports point down`;
}

/** Imports that do not point down, and dependencies in manifests that do not. */
export const importsPointDown: Rule = (files) => {
  const code = files.filter(isCode).flatMap((file) =>
    importsOf(file).flatMap(({ specifier, node }) => {
      const found = problem(file.path, specifier);
      return found === null ? [] : [`${placeOf(file, node)}: ${found}`];
    }),
  );
  const manifests = files.filter(({ path }) => /^packages\/[^/]+\/package\.json$/.test(path));
  const dependencies = manifests.flatMap(({ path, text }) => {
    const { dependencies = {}, peerDependencies = {} } = JSON.parse(text) as Record<string, Record<string, string>>;
    return Object.keys({ ...dependencies, ...peerDependencies }).flatMap((name) => {
      const found = problem(path.replace("package.json", "src/manifest.ts"), name);
      return found === null ? [] : [`${path}: ${found}`];
    });
  });
  return [...code, ...dependencies];
};
