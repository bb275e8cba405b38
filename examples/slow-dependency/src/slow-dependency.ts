/**
 * The scenario: a dependency that becomes slow and stays healthy, behind a pool, behind a pool with a breaker, and behind a bulkhead.
 */
import type { Scenario, ScenarioReport, Stage } from "@holdfast-examples/stage";
import { compare } from "./comparison.ts";
import { describeCourse, FULL, QUICK } from "./course.ts";
import { runCourse } from "./run.ts";

/** Slowness is booked as failure, and everybody reads the wrong dashboard. */
export const slowDependency: Scenario = {
  name: "slow-dependency",
  failure: "a healthy dependency slows from 80 to 380 ms: the pool fills, waits time out, the breaker opens on it",
  holds: ["@holdfast/bulkhead"],
  run,
};

async function run(stage: Stage): Promise<ScenarioReport> {
  const course = stage.quick ? QUICK : FULL;
  stage.say(`  ${describeCourse(course)}`);
  return compare(await runCourse(course, stage), course);
}
