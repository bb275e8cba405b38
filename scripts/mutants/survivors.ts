/**
 * Owns the reasons for guards whose removal no test can notice: `test/mutants/survivors.json` of a package.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Guard } from "./guard.ts";
import { mutantsFolder } from "./guard.ts";

/** Why no test can notice that a guard is gone. */
export interface Survivor {
  /** The Lua file, relative to the workspace. */
  readonly file: string;
  /** The condition as written, on one line. */
  readonly guard: string;
  readonly reason: string;
}

/**
 * The explained survivors of a package.
 * @throws TypeError for an entry without a reason
 */
export function readSurvivors(folder: string): Survivor[] {
  const file = join(mutantsFolder(folder), "survivors.json");
  if (!existsSync(file)) return [];
  const survivors = JSON.parse(readFileSync(file, "utf8")) as Survivor[];
  for (const { file: lua, guard, reason } of survivors) {
    const complete = [lua, guard, reason].every((text) => typeof text === "string" && text.trim() !== "");
    if (!complete) throw new TypeError(`${file}: every entry has a file, a guard and a reason`);
  }
  return survivors;
}

/** The explanation of a guard, or null. */
export function explanationOf(guard: Guard, survivors: readonly Survivor[]): Survivor | null {
  return survivors.find((survivor) => survivor.file === guard.file && survivor.guard === guard.text) ?? null;
}
