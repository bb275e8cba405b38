/**
 * Owns the planted bugs of a package: unified diffs in `test/mutants/*.patch` whose first lines say what the bug is and which test knows it.
 *
 *     # bug: an acknowledgement does not compare the generation
 *     # fails: T4 an acknowledgement never removes a timer
 *     # run: test/acknowledge.test.ts
 *     --- a/packages/timer/src/scripts/acknowledge.lua
 *     …
 *
 * `run` is optional, may stand several times and names the only test files to run; without it all of the package run.
 */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { mutantsFolder } from "./guard.ts";

/** A bug and the test that has to notice it. */
export interface PlantedBug {
  /** The patch, relative to the workspace. */
  readonly file: string;
  readonly bug: string;
  /** A part of the title of the test that fails. */
  readonly fails: string;
  /** Test files relative to the package; all of them when empty. */
  readonly run: readonly string[];
}

function values(text: string, key: string): string[] {
  return [...text.matchAll(new RegExp(`^# ${key}: (.+)$`, "gm"))].map((match) => (match[1] ?? "").trim());
}

/**
 * Reads the head of a patch.
 * @throws TypeError when it does not say the bug or the test
 */
export function readPlantedBug(text: string, file: string): PlantedBug {
  const [bug] = values(text, "bug");
  const [fails] = values(text, "fails");
  if (bug === undefined || fails === undefined)
    throw new TypeError(`${file}: a patch begins with "# bug: …" and "# fails: …"`);
  return { file, bug, fails, run: values(text, "run") };
}

/** The planted bugs of a package, by file name. */
export function plantedBugs(root: string, folder: string): PlantedBug[] {
  const patches = mutantsFolder(folder);
  if (!existsSync(patches)) return [];
  const names = readdirSync(patches).filter((name) => name.endsWith(".patch"));
  return names.toSorted().map((name) => {
    const path = join(patches, name);
    return readPlantedBug(readFileSync(path, "utf8"), relative(root, path));
  });
}
