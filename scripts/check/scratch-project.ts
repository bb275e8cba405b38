/**
 * Owns a user's project outside the workspace: it installs the tarballs with npm, imports every entry point, type-checks the README examples
 * against the packed types, and runs them against a real redis-server.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "../workspace.ts";
import { matchesOutput, readmeExamples } from "./readme-example.ts";
import type { ReadmeExample } from "./readme-example.ts";
import { command } from "./step.ts";
import type { Tarball } from "./tarball.ts";
import { textOf } from "./tarball.ts";

const ENTRY_TIMEOUT_MS = 20_000;
const EXAMPLE_TIMEOUT_MS = 60_000;

/** The exact versions of pnpm-workspace.yaml's catalog. */
export function catalogVersions(): ReadonlyMap<string, string> {
  const text = readFileSync(join(root, "pnpm-workspace.yaml"), "utf8");
  const catalog = /^catalog:\n((?: {2}.+\n)+)/m.exec(text)?.[1] ?? "";
  const entries = [...catalog.matchAll(/^ {2}"?([^":\s]+)"?: (\S+)$/gm)];
  return new Map(entries.map((entry) => [entry[1] ?? "", entry[2] ?? ""]));
}

/** A folder that is deleted when it is disposed of. */
export class ScratchProject {
  readonly folder: string = mkdtempSync(join(tmpdir(), "holdfast-scratch-"));
  readonly #tarballs: readonly Tarball[];

  constructor(tarballs: readonly Tarball[]) {
    this.#tarballs = tarballs;
  }

  /** Installs the tarballs with their peers, at the workspace's versions. */
  async install(): Promise<string[]> {
    const catalog = catalogVersions();
    const dependencies: Record<string, string> = {};
    for (const { manifest } of this.#tarballs) {
      for (const [name, range] of Object.entries(manifest.peerDependencies ?? {}))
        dependencies[name] = catalog.get(name) ?? range;
    }
    for (const name of ["@types/node", "@types/pg"]) dependencies[name] = catalog.get(name) ?? "*";
    for (const { manifest, file } of this.#tarballs) dependencies[manifest.name] = `file:${file}`;
    const manifest = { name: "scratch", version: "1.0.0", private: true, type: "module", dependencies };
    writeFileSync(join(this.folder, "package.json"), JSON.stringify(manifest));
    const { code, output } = await command("npm", ["install", "--no-audit", "--no-fund", "--loglevel=error"], {
      cwd: this.folder,
    });
    return code === 0 ? [] : [`npm install of the tarballs failed:\n${output}`];
  }

  /** Imports every entry point in a process of its own, which has to end by itself: an import starts nothing. */
  async importEntryPoints(report: (words: string) => void): Promise<{ problems: string[]; count: number }> {
    const problems: string[] = [];
    const specifiers = this.#tarballs.flatMap(({ manifest }) =>
      Object.keys(manifest.exports ?? {})
        .filter((key) => key !== "./package.json")
        .map((key) => manifest.name + key.slice(1)),
    );
    for (const specifier of specifiers) {
      report(`import ${specifier}`);
      const code = `const m = await import(${JSON.stringify(specifier)}); if (Object.keys(m).length === 0) throw new Error("exports nothing");`;
      const done = await command("node", ["--input-type=module", "--eval", code], {
        cwd: this.folder,
        timeoutMs: ENTRY_TIMEOUT_MS,
      });
      if (done.code !== 0)
        problems.push(`import ${specifier}: exit code ${done.code} (128: it did not end by itself)\n${done.output}`);
    }
    return { problems, count: specifiers.length };
  }

  /** The programs of the root's README and of the packages', as files of this project. */
  writeExamples(): { readonly example: ReadmeExample; readonly path: string }[] {
    const rootReadme = join(root, "README.md");
    const examples = existsSync(rootReadme) ? readmeExamples(readFileSync(rootReadme, "utf8"), "README.md") : [];
    for (const { member } of this.#tarballs)
      examples.push(...readmeExamples(textOf(member, "README.md"), `${member.path}/README.md`));
    mkdirSync(join(this.folder, "examples"), { recursive: true });
    return examples.map((example) => {
      const path = `examples/${example.file.replace(/\W+/g, "-").toLowerCase()}-${example.line}.ts`;
      writeFileSync(join(this.folder, path), example.code);
      return { example, path };
    });
  }

  /** Type-checks every example and, through them, the packed declarations, as strictly as a user may. */
  async typecheck(): Promise<string[]> {
    const base = JSON.parse(readFileSync(join(root, "tsconfig.base.json"), "utf8")) as {
      compilerOptions: Record<string, unknown>;
    };
    const {
      isolatedDeclarations: _,
      declaration: __,
      declarationMap: ___,
      sourceMap: ____,
      rewriteRelativeImportExtensions: _____,
      ...compilerOptions
    } = base.compilerOptions;
    writeFileSync(
      join(this.folder, "tsconfig.json"),
      JSON.stringify({ compilerOptions: { ...compilerOptions, noEmit: true }, include: ["examples"] }),
    );
    const { code, output } = await command("tsc", ["-p", ".", "--pretty", "false"], { cwd: this.folder });
    return code === 0 ? [] : [`README examples against the packed types:\n${output}`];
  }

  /** Runs one example with the addresses of its servers in the environment; what is wrong with it, or null. */
  async run(example: ReadmeExample, path: string, env: Readonly<Record<string, string>>): Promise<string | null> {
    const where = `${example.file}:${example.line}`;
    const done = await command("node", [path], {
      cwd: this.folder,
      env,
      timeoutMs: EXAMPLE_TIMEOUT_MS,
    });
    if (done.code !== 0)
      return `${where}: exit code ${done.code} (128: ended after ${EXAMPLE_TIMEOUT_MS / 1000} s)\n${done.output}`;
    if (example.expected === null || matchesOutput(example.expected, done.printed)) return null;
    return `${where}: printed\n${done.printed.trim()}\ninstead of\n${example.expected.trim()}`;
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
