/**
 * The scenario: a process that holds locks is stopped past their ttl and writes when it wakes up; first with the usual lock, then with a
 * fenced one.
 */
import type { Scenario, ScenarioReport, Stage } from "@holdfast-examples/stage";
import { compare } from "./comparison.ts";
import { describeScale, scaleOf, type Course } from "./course.ts";
import { runCourse } from "./run.ts";

/** 30 s become 0.75 s: three renewals still fit in, also on a machine that is busy with something else. */
const FULL = { factor: 40, accounts: 10, rounds: 3 };
const QUICK = { factor: 50, accounts: 4, rounds: 2 };

/** A lock holder is paused past its ttl, another takes over, both write. */
export const pausedHolder: Scenario = {
  name: "paused-holder",
  failure: "a lock holder is paused for 35 s behind a ttl of 30 s, another takes over, and both write",
  holds: ["@holdfast/lock", "@holdfast/postgres"],
  run,
};

async function run(stage: Stage): Promise<ScenarioReport> {
  const { factor, accounts, rounds } = stage.quick ? QUICK : FULL;
  const course: Course = { seed: stage.seed, accounts, rounds, scale: scaleOf(factor) };
  stage.say(`  ${describeScale(course.scale)}`);
  const plain = await runCourse("plain", course, stage);
  const fenced = await runCourse("fenced", course, stage);
  return compare(plain, fenced, course);
}
