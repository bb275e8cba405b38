/**
 * Owns what became of each mutant of a package: the order of the runs, and the judgement on them.
 */
import { join } from "node:path";
import { runTests } from "./copy-tests.ts";
import type { TestRun } from "./copy-tests.ts";
import { guardsOfPackage, likelyTests } from "./guard.ts";
import type { Guard } from "./guard.ts";
import { plantedBugs } from "./planted-bug.ts";
import type { PlantedBug } from "./planted-bug.ts";
import { explanationOf, readSurvivors } from "./survivors.ts";
import type { Survivor } from "./survivors.ts";
import type { WorkspaceCopy } from "./workspace-copy.ts";

/** What became of a mutant. */
export interface Verdict {
  readonly mutant: string;
  /** Whether it is as it should be. */
  readonly good: boolean;
  /** The test that caught it, or what is wrong. */
  readonly note: string;
  readonly durationMs: number;
}

/** What is run. */
export interface MutantOptions {
  readonly guards: boolean;
  readonly planted: boolean;
  /** Only those with this text in their name: the patch's path, its bug, the guard's file and line or the guard. All when empty. */
  readonly only: string;
  /** The most that the tests of one mutant may take. */
  readonly timeoutMs: number;
  readonly onVerdict: (verdict: Verdict) => void;
}

function caughtBy(run: TestRun): string | null {
  return run.timedOut ? "(the tests did not end)" : (run.failed[0] ?? null);
}

/** Runs the likely tests first, then all of the package's. */
async function judgeGuard(
  copy: WorkspaceCopy,
  name: string,
  guard: Guard,
  survivors: readonly Survivor[],
  timeoutMs: number,
): Promise<Verdict> {
  copy.write(guard.file, guard.mutated);
  const files = copy.testFiles(name);
  const likely = likelyTests(files, guard.file);
  let durationMs = 0;
  let caught: string | null = null;
  for (const selection of [likely, files.filter((file) => !likely.includes(file))]) {
    if (selection.length === 0 || caught !== null) continue;
    const run = await runTests(copy.root, selection, { bail: true, timeoutMs });
    durationMs += run.durationMs;
    caught = caughtBy(run);
  }
  copy.mend();
  const mutant = `${guard.file.replace(/^packages\//, "")}:${guard.line} without: ${guard.text}`;
  const explanation = explanationOf(guard, survivors);
  if (caught === null) {
    const note =
      explanation === null
        ? "SURVIVED: no test notices, and survivors.json has no reason"
        : `survives: ${explanation.reason}`;
    return { mutant, good: explanation !== null, note, durationMs };
  }
  const stale = explanation !== null;
  return {
    mutant,
    good: !stale,
    note: stale ? `explained in survivors.json, yet caught by ${caught}` : caught,
    durationMs,
  };
}

async function judgePlanted(
  copy: WorkspaceCopy,
  root: string,
  name: string,
  planted: PlantedBug,
  timeoutMs: number,
): Promise<Verdict> {
  const mutant = `${name}: ${planted.bug}`;
  const problem = await copy.apply(join(root, planted.file));
  if (problem !== null) {
    copy.mend();
    return { mutant, good: false, note: `${planted.file} does not apply: ${problem}`, durationMs: 0 };
  }
  const files = planted.run.length > 0 ? planted.run.map((file) => join("packages", name, file)) : copy.testFiles(name);
  const run = await runTests(copy.root, files, { bail: false, timeoutMs });
  copy.mend();
  const named = run.failed.find((title) => title.includes(planted.fails));
  const { durationMs } = run;
  if (named !== undefined) return { mutant, good: true, note: named, durationMs };
  const others = run.failed.length === 0 ? "nothing failed" : `failed instead: ${run.failed.join("; ")}`;
  return {
    mutant,
    good: false,
    note: `MISSED: "${planted.fails}" did not fail; ${run.timedOut ? "the tests did not end" : others}`,
    durationMs,
  };
}

function staleReasons(guards: readonly Guard[], survivors: readonly Survivor[]): Verdict[] {
  const gone = survivors.filter((survivor) => !guards.some((guard) => explanationOf(guard, [survivor]) !== null));
  return gone.map(({ file, guard }) => {
    return {
      mutant: `${file} without: ${guard}`,
      good: false,
      note: "explained in survivors.json, yet there is no such guard",
      durationMs: 0,
    };
  });
}

/**
 * Judges all mutants of a package. The tests have to pass without any of them first, or nothing would be shown.
 * @param root the workspace; its state was copied when `copy` was made
 */
export async function judgePackage(
  copy: WorkspaceCopy,
  root: string,
  name: string,
  options: MutantOptions,
): Promise<Verdict[]> {
  const folder = join(root, "packages", name);
  const { only } = options;
  const guards = options.guards ? guardsOfPackage(root, folder) : [];
  const bugs = options.planted ? plantedBugs(root, folder) : [];
  const chosenGuards = guards.filter(({ file, line, text }) => `${file}:${line} ${text}`.includes(only));
  const chosenBugs = bugs.filter(({ file, bug }) => `${file} ${bug}`.includes(only));
  const survivors = readSurvivors(folder);
  const verdicts: Verdict[] = [];
  const add = (verdict: Verdict): void => {
    verdicts.push(verdict);
    options.onVerdict(verdict);
  };
  if (chosenGuards.length + chosenBugs.length === 0) return [];
  const wholeSuite = chosenGuards.length > 0 || chosenBugs.some(({ run }) => run.length === 0);
  const needed = wholeSuite
    ? copy.testFiles(name)
    : [...new Set(chosenBugs.flatMap(({ run }) => run))].map((file) => join("packages", name, file));
  const sound = await runTests(copy.root, needed, { bail: true, timeoutMs: options.timeoutMs });
  const broken = caughtBy(sound) ?? (sound.passed === 0 ? "there is no test" : null);
  add({
    mutant: `${name}: none`,
    good: broken === null,
    note: broken === null ? `${sound.passed} tests pass` : `fails unchanged: ${broken}: ${sound.why}`,
    durationMs: sound.durationMs,
  });
  if (broken !== null) return verdicts;
  for (const bug of chosenBugs) add(await judgePlanted(copy, root, name, bug, options.timeoutMs));
  for (const guard of chosenGuards) add(await judgeGuard(copy, name, guard, survivors, options.timeoutMs));
  if (options.guards) for (const verdict of staleReasons(guards, survivors)) add(verdict);
  return verdicts;
}
