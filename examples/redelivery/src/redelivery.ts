/**
 * The scenario: consumers of a stream are killed in the middle of their charges; first as consumers are usually written, then with
 * idempotency keys.
 */
import type { Scenario, ScenarioReport, Stage } from "@holdfast-examples/stage";
import { compare } from "./comparison.ts";
import { describeScale, scaleOf, type Course } from "./course.ts";
import { runCourse } from "./run.ts";

/** Four orders in a burst: a replica that takes them has more than one charge under way. */
const FULL = { factor: 25, ordersMin: 200, burst: 4, spacingMs: 80 };
const QUICK = { factor: 50, ordersMin: 60, burst: 4, spacingMs: 100 };

/** A consumer dies between its write and its acknowledgement; the message comes again. */
export const redelivery: Scenario = {
  name: "redelivery",
  failure:
    "a consumer dies between its charge and its acknowledgement: the message comes again, the customer pays twice",
  holds: ["@holdfast/idempotency", "@holdfast/postgres"],
  run,
};

async function run(stage: Stage): Promise<ScenarioReport> {
  const { factor, ...rest } = stage.quick ? QUICK : FULL;
  const course: Course = { seed: stage.seed, ...rest, scale: scaleOf(factor) };
  stage.say(`  ${describeScale(course.scale)}`);
  const usual = await runCourse("acknowledged", course, stage);
  const held = await runCourse("once", course, stage);
  return compare(usual, held, course);
}
