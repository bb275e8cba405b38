/**
 * Owns the copies in which bugs are planted: `.mutants/<process id>/`, inside the workspace so that dependencies resolve, ignored by git. The
 * product itself has no switch for bugs. Files come from a snapshot made at the start, so that work in the tree meanwhile changes nothing.
 */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join, relative } from "node:path";
import { command } from "../check/step.ts";
import { generatedModule } from "../lua/embed.ts";
import { isAlive } from "../process.ts";
import { root as repository } from "../workspace.ts";

const LEFT_OUT = new Set(["node_modules", "dist", ".turbo"]);
const OWN_SCOPE = "@holdfast";

/** Deletes what runs that were killed have left. */
export function sweepCopies(): void {
  const folder = join(repository, ".mutants");
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) {
    const pid = /^(\d+)-/.exec(name)?.[1];
    if (pid === undefined || !isAlive(Number(pid))) rmSync(join(folder, name), { recursive: true, force: true });
  }
}

function copySources(from: string, to: string): void {
  cpSync(from, to, { recursive: true, filter: (path) => path === from || !LEFT_OUT.has(basename(path)) });
}

/** Links a package's dependencies as pnpm laid them out, with its neighbours in the workspace replaced by their copies. */
function linkDependencies(from: string, to: string, packagesCopy: string): void {
  if (!existsSync(from)) return;
  for (const name of readdirSync(from).filter((each) => !each.startsWith("."))) {
    const scoped = name.startsWith("@") ? readdirSync(join(from, name)).map((inner) => `${name}/${inner}`) : [name];
    for (const each of scoped) {
      const link = join(to, each);
      mkdirSync(join(link, ".."), { recursive: true });
      const own = each.startsWith(`${OWN_SCOPE}/`);
      symlinkSync(own ? join(packagesCopy, basename(each)) : realpathSync(join(from, each)), link);
    }
  }
}

/** A copy of a workspace's packages that can be broken and mended. */
export class WorkspaceCopy {
  readonly root: string;
  readonly #snapshot: string;
  readonly #names: readonly string[];

  /**
   * @param source the workspace that is copied
   * @param members folders beside packages/ that shall run on the copies, such as `test-chaos`; they are copied once and not mended
   */
  constructor(source: string, members: readonly string[] = []) {
    sweepCopies();
    const unique = `${process.pid}-${Math.round(performance.now() * 1000)}`;
    const folder = join(repository, ".mutants", unique);
    this.root = join(folder, "copy");
    this.#snapshot = join(folder, "snapshot");
    this.#names = readdirSync(join(source, "packages")).filter((name) =>
      existsSync(join(source, "packages", name, "package.json")),
    );
    for (const name of this.#names) {
      copySources(join(source, "packages", name), join(this.#snapshot, "packages", name));
      const dependencies = join(source, "packages", name, "node_modules");
      linkDependencies(dependencies, join(this.root, "packages", name, "node_modules"), join(this.root, "packages"));
    }
    for (const name of members) {
      copySources(join(source, name), join(this.root, name));
      linkDependencies(
        join(source, name, "node_modules"),
        join(this.root, name, "node_modules"),
        join(this.root, "packages"),
      );
    }
    for (const file of ["tsconfig.base.json", "package.json"]) {
      if (existsSync(join(source, file))) cpSync(join(source, file), join(this.root, file));
    }
    // Tests that embed Lua of their own read the generator by its path.
    mkdirSync(this.root, { recursive: true });
    symlinkSync(join(repository, "scripts"), join(this.root, "scripts"));
    this.#generate(this.#snapshot);
    this.mend();
  }

  /** Puts every file back as it was at the start. */
  mend(): void {
    for (const name of this.#names) {
      const target = join(this.root, "packages", name);
      for (const part of ["src", "test"]) rmSync(join(target, part), { recursive: true, force: true });
      copySources(join(this.#snapshot, "packages", name), target);
    }
  }

  /** Replaces a file and embeds the scripts anew. */
  write(file: string, text: string): void {
    writeFileSync(join(this.root, file), text);
    this.#generate(this.root);
  }

  /**
   * Applies a unified diff and embeds the scripts anew.
   * @returns null, or why it does not apply
   */
  async apply(patch: string): Promise<string | null> {
    const env = { GIT_CEILING_DIRECTORIES: join(this.root, ".."), GIT_DIR: undefined };
    const { code, output } = await command("git", ["apply", "--recount", "-p1", patch], { cwd: this.root, env });
    if (code !== 0) return output.trim();
    this.#generate(this.root);
    return null;
  }

  /** The test files of a package, relative to the copy. */
  testFiles(name: string): string[] {
    const folder = join(this.root, "packages", name, "test");
    if (!existsSync(folder)) return [];
    const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) =>
      file.endsWith(".test.ts"),
    );
    return files.map((file) => relative(this.root, join(folder, file))).toSorted();
  }

  #generate(root: string): void {
    for (const name of this.#names) {
      const folder = join(root, "packages", name);
      const text = generatedModule(root, folder);
      const file = join(folder, "src/scripts.generated.ts");
      if (text !== null && (!existsSync(file) || readFileSync(file, "utf8") !== text)) writeFileSync(file, text);
    }
  }

  [Symbol.dispose](): void {
    rmSync(join(this.root, ".."), { recursive: true, force: true });
  }
}
