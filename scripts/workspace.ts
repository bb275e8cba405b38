/**
 * Owns where things are: the root of the repository, its packages and its tracked files.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** The root of the repository. */
export const root: string = join(import.meta.dirname, "..");

/** A manifest, as far as the tools read it. */
export interface Manifest {
  readonly name: string;
  readonly version?: string;
  readonly private?: boolean;
  readonly exports?: Readonly<Record<string, Readonly<Record<string, string>> | string>>;
  readonly scripts?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

/** A folder of the workspace with a manifest. */
export interface Member {
  /** The folder's own name: `timer`. */
  readonly name: string;
  /** Relative to the root: `packages/timer`. */
  readonly path: string;
  readonly folder: string;
  readonly manifest: Manifest;
}

function member(path: string): Member | null {
  const folder = join(root, path);
  const file = join(folder, "package.json");
  if (!existsSync(file)) return null;
  return {
    name: path.split("/").at(-1) ?? path,
    path,
    folder,
    manifest: JSON.parse(readFileSync(file, "utf8")) as Manifest,
  };
}

function membersUnder(path: string): Member[] {
  const folder = join(root, path);
  if (!existsSync(folder)) return [];
  const names = readdirSync(folder).toSorted();
  return names.flatMap((name) => member(`${path}/${name}`) ?? []);
}

/** The published packages and the testkit, by name. */
export function packages(): Member[] {
  return membersUnder("packages");
}

/** Every member of the workspace, packages first. */
export function members(): Member[] {
  return [
    ...packages(),
    ...membersUnder("examples"),
    ...["test-chaos", "benchmarks"].flatMap((path) => member(path) ?? []),
  ];
}

/** Files that git tracks or would track, relative to the root, without those that are deleted in the work tree. */
export function trackedFiles(): string[] {
  const listed = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 1 << 26,
  });
  const files = [...new Set(listed.split("\0"))].filter((file) => file !== "");
  return files.filter((file) => existsSync(join(root, file))).toSorted();
}
