/**
 * The rules on manifests, versions and places: every version stands once and exactly, what is published has one shape, and nothing tells
 * where it was written.
 */
import type { Rule, SourceFile } from "./source-file.ts";

const EXACT = /^(npm:(@[\w.-]+\/)?[\w.-]+@)?\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/;
const NODE_ENGINES = ">=22.18";

interface Manifest {
  readonly private?: boolean;
  readonly license?: string;
  readonly type?: string;
  readonly sideEffects?: boolean;
  readonly engines?: { readonly node?: string };
  readonly exports?: Readonly<Record<string, unknown>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

function manifestsIn(files: readonly SourceFile[]): { path: string; manifest: Manifest }[] {
  const found = files.filter(({ path }) => path === "package.json" || path.endsWith("/package.json"));
  return found.map(({ path, text }) => ({ path, manifest: JSON.parse(text) as Manifest }));
}

/** Versions outside the catalog, and versions in it that are not exact. */
export const versionsStandInTheCatalog: Rule = (files) => {
  const problems = manifestsIn(files).flatMap(({ path, manifest }) => {
    const all = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies });
    const loose = all.filter(([, range]) => range !== "catalog:" && range !== "workspace:*");
    return loose.map(([name, range]) => `${path}: ${name} is ${range}, not catalog: or workspace:*`);
  });
  const workspace = files.find(({ path }) => path === "pnpm-workspace.yaml");
  const catalog = /^catalog:\n((?: {2}.+\n)+)/m.exec(workspace?.text ?? "")?.[1] ?? "";
  for (const [, name, version] of catalog.matchAll(/^ {2}"?([^":\s]+)"?: "?([^"\s]+)"?$/gm)) {
    if (!EXACT.test(version ?? "")) problems.push(`pnpm-workspace.yaml: ${name} is ${version}, not an exact version`);
  }
  return problems;
};

function entryProblems(path: string, key: string, entry: unknown): string[] {
  const conditions = typeof entry === "object" && entry !== null ? Object.keys(entry) : [];
  const wanted = ["@holdfast/source", "types", "default"];
  return conditions.join() === wanted.join()
    ? []
    : [`${path}: exports ${key} has the conditions ${wanted.join(", ")}, in this order`];
}

/** What a published package's manifest lacks. */
export const publishedManifestsHaveOneShape: Rule = (files) => {
  return manifestsIn(files).flatMap(({ path, manifest }) => {
    if (!path.startsWith("packages/") || manifest.private === true) return [];
    const problems = Object.entries(manifest.exports ?? {}).flatMap(([key, entry]) => entryProblems(path, key, entry));
    if (manifest.exports === undefined) problems.push(`${path}: no exports`);
    if (manifest.license !== "MIT") problems.push(`${path}: license is MIT`);
    if (manifest.type !== "module") problems.push(`${path}: type is module`);
    if (manifest.sideEffects !== false) problems.push(`${path}: sideEffects is false`);
    if (manifest.engines?.node !== NODE_ENGINES) problems.push(`${path}: engines.node is ${NODE_ENGINES}`);
    return problems;
  });
};

/** Written in pieces, so that this file does not break its own rule. */
const PLACES: readonly (readonly [RegExp, string])[] = [
  [new RegExp(["registry", "(npmjs|yarnpkg|npmmirror)"].join("\\.")), "a registry's host"],
  [/https?:\/\/[^\s"')>]*(artifactory|verdaccio|nexus\/repository|\/npm-proxy)/, "a registry's address"],
  [/^\s*(tarball:|resolution:.*tarball|registry ?[=:])/, "a download address"],
  [
    new RegExp(`(?<![\\w.~-])/(${["home/\\w", "root/\\w", "Users/\\w", "work/(main|shared)"].join("|")})`),
    "a machine's path",
  ],
];

/** Registry hosts, download addresses and paths of one machine. */
export const nothingTellsWhereItWasWritten: Rule = (files) => {
  return files.flatMap(({ path, text }) =>
    text.split("\n").flatMap((line, index) => {
      const found = PLACES.find(([pattern]) => pattern.test(line));
      return found === undefined ? [] : [`${path}:${index + 1}: ${found[1]}`];
    }),
  );
};
