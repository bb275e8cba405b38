/**
 * Embeds Lua files: writes `src/scripts.generated.ts` of every package that has `src/scripts/*.lua`.
 *
 *     pnpm generate [--check] [package...]
 *
 * `--check` writes nothing and exits with 1 and a list of the stale files. A package whose Lua does not parse stops none of the others.
 */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { generatedModule } from "./lua/embed.ts";
import { LuaFileError } from "./lua/parse.ts";
import { packages, root } from "./workspace.ts";

function write(file: string, text: string | null): void {
  if (text === null) return rmSync(file);
  const draft = `${file}.${process.pid}.tmp`;
  writeFileSync(draft, text);
  renameSync(draft, file);
}

function main(words: readonly string[]): number {
  const check = words.includes("--check");
  const wanted = words.filter((word) => !word.startsWith("--"));
  const problems: string[] = [];
  const stale: string[] = [];
  for (const { name, folder } of packages()) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    const file = join(folder, "src/scripts.generated.ts");
    try {
      const text = generatedModule(root, folder);
      const present = existsSync(file) ? readFileSync(file, "utf8") : null;
      if (text === present) continue;
      stale.push(relative(root, file));
      if (!check) write(file, text);
    } catch (error) {
      if (!(error instanceof LuaFileError)) throw error;
      problems.push(error.message);
    }
  }
  for (const file of stale) console.log(check ? `stale: ${file} (run \`pnpm generate\`)` : `wrote ${file}`);
  for (const problem of problems) console.error(problem);
  return problems.length > 0 || (check && stale.length > 0) ? 1 : 0;
}

process.exitCode = main(process.argv.slice(2));
