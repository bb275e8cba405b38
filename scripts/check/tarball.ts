/**
 * Owns the packed form of the published packages: makes the tarballs once per run, and says what is wrong with their contents.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packages } from "../workspace.ts";
import type { Manifest, Member } from "../workspace.ts";
import { command } from "./step.ts";

/** A packed package. */
export interface Tarball {
  readonly member: Member;
  readonly file: string;
  /** The names in it, without the leading `package/`. */
  readonly contents: readonly string[];
  /** The manifest as packed. */
  readonly manifest: Manifest;
}

const ALWAYS = new Set(["package.json", "README.md", "LICENSE"]);
const BUILT = /^dist\/.+(\.js|\.d\.ts|\.js\.map|\.d\.ts\.map)$/;
const SOURCE = /^src\/.+\.(ts|lua|sql)$/;

let packed: Promise<readonly Tarball[]> | undefined;
let folder: string | undefined;

function contentsOf(file: string): string[] {
  const listed = execFileSync("tar", ["-tzf", file], { encoding: "utf8" });
  return listed
    .split("\n")
    .filter((name) => name !== "" && !name.endsWith("/"))
    .map((name) => name.replace(/^package\//, ""))
    .toSorted();
}

async function pack(): Promise<Tarball[]> {
  folder = mkdtempSync(join(tmpdir(), "holdfast-tarballs-"));
  const tarballs: Tarball[] = [];
  for (const member of packages().filter(({ manifest }) => manifest.private !== true)) {
    if (!existsSync(join(member.folder, "dist")))
      throw new Error(`${member.path} has no dist: its build failed or did not run`);
    const { code, output } = await command("pnpm", ["pack", "--pack-destination", folder, "--json"], {
      cwd: member.folder,
    });
    if (code !== 0) throw new Error(`pnpm pack in ${member.path}:\n${output}`);
    const file = join(
      folder,
      `${member.manifest.name.replace("@", "").replace("/", "-")}-${member.manifest.version}.tgz`,
    );
    const manifest = JSON.parse(
      execFileSync("tar", ["-xzOf", file, "package/package.json"], { encoding: "utf8" }),
    ) as Manifest;
    tarballs.push({ member, file, contents: contentsOf(file), manifest });
  }
  return tarballs;
}

/** The tarballs of all packages that are not private; packed at the first call. */
export async function tarballs(): Promise<readonly Tarball[]> {
  packed ??= pack();
  return packed;
}

/** Deletes what {@link tarballs} made. */
export function removeTarballs(): void {
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
}

function exportTargets(manifest: Manifest): string[] {
  return Object.values(manifest.exports ?? {}).flatMap((entry) =>
    typeof entry === "string" ? [entry] : Object.values(entry),
  );
}

function specifierProblems(manifest: Manifest): string[] {
  const groups = [manifest.dependencies, manifest.peerDependencies];
  const all = groups.flatMap((group) => Object.entries(group ?? {}));
  return all
    .filter(([, range]) => /^(workspace|catalog|file|link):/.test(range))
    .map(([name, range]) => `packed manifest asks for ${name} ${range}`);
}

/** What a tarball has too much or lacks; empty when it holds what it needs and nothing else. */
export function contentProblems(tarball: Pick<Tarball, "contents" | "manifest">): string[] {
  const { contents, manifest } = tarball;
  const present = new Set(contents);
  const problems = specifierProblems(manifest);
  for (const name of ALWAYS) if (!present.has(name)) problems.push(`lacks ${name}`);
  for (const name of contents) {
    if (!ALWAYS.has(name) && name !== "CHANGELOG.md" && !BUILT.test(name) && !SOURCE.test(name))
      problems.push(`has ${name}`);
    const module = /^dist\/(.+?)\.(?:d\.ts|js)(?:\.map)?$/.exec(name)?.[1];
    if (module !== undefined && !present.has(`src/${module}.ts`))
      problems.push(`has ${name} without src/${module}.ts: left by an older build`);
    // A declaration of somebody else's package (.d.ts) is for the compiler alone.
    const source = /^src\/(.+)(?<!\.d)\.ts$/.exec(name)?.[1];
    if (source === undefined) continue;
    for (const made of [`dist/${source}.js`, `dist/${source}.d.ts`])
      if (!present.has(made)) problems.push(`lacks ${made}`);
  }
  for (const target of exportTargets(manifest)) {
    if (!present.has(target.replace(/^\.\//, ""))) problems.push(`exports ${target}, which it lacks`);
  }
  return problems;
}

/** The text of a file in a package's folder, or the empty string. */
export function textOf(member: Member, name: string): string {
  const file = join(member.folder, name);
  return existsSync(file) ? readFileSync(file, "utf8") : "";
}
