/** Planted bugs are kept as patches, and each still fits the code that it breaks. */
import { execFile } from "node:child_process";
import { globSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";

const root = join(import.meta.dirname, "../..");
const patches = ["packages/*/test/mutants/*.patch", "test-chaos/mutants/*.patch"].flatMap((pattern) =>
  globSync(pattern, { cwd: root }),
);

it("every planted bug applies, by the command that plants it", async () => {
  expect(patches.length).toBeGreaterThan(100);
  const unfit: string[] = [];
  for (const patch of patches)
    await promisify(execFile)("git", ["apply", "--check", "--recount", "-p1", patch], { cwd: root }).catch(
      (error: unknown) => unfit.push(`${patch}: ${String(error)}`),
    );
  expect(unfit).toEqual([]);
});
