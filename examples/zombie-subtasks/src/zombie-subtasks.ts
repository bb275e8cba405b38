/**
 * The scenario: requests that time out before their slowest subtask has ended, with a timeout around the subtasks and with a scope.
 */
import type { Scenario, ScenarioReport, Stage } from "@holdfast-examples/stage";
import { compare } from "./comparison.ts";
import { describeCourse, FULL, QUICK } from "./course.ts";
import { runCourse } from "./run.ts";

/** The client has its answer, the subtask runs on for nobody. */
export const zombieSubtasks: Scenario = {
  name: "zombie-subtasks",
  failure: "requests time out after 350 ms, their slow subtasks run on for 5 s: for nobody, by the hundred",
  holds: ["@holdfast/scope"],
  run,
};

async function run(stage: Stage): Promise<ScenarioReport> {
  const course = stage.quick ? QUICK : FULL;
  stage.say(`  ${describeCourse(course)}`);
  return compare(await runCourse(course, stage), course);
}
