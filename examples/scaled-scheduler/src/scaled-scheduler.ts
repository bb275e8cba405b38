/**
 * The scenario: an hourly job on three replicas, with a cron in each of them and then with the scheduler.
 */
import type { Scenario, ScenarioReport, Stage } from "@holdfast-examples/stage";
import { compare } from "./comparison.ts";
import { runCourse, type Course } from "./run.ts";

/** An hour becomes a second; a run takes two fifths of it. */
const FULL: Course = { hourMs: 1_000, hours: 4, customers: 8, mailMs: 50, leaseMs: 300 };
const QUICK: Course = { hourMs: 1_000, hours: 4, customers: 5, mailMs: 60, leaseMs: 300 };

/** A cron that worked for a year runs once per replica on the day of the third. */
export const scaledScheduler: Scenario = {
  name: "scaled-scheduler",
  failure: "an hourly job runs once per replica: every customer is mailed three times",
  holds: ["@holdfast/scheduler", "@holdfast/lock"],
  run,
};

async function run(stage: Stage): Promise<ScenarioReport> {
  const course = stage.quick ? QUICK : FULL;
  stage.say(`  an hour → ${course.hourMs} ms; each hour ${course.customers} customers get a mail`);
  const usual = await runCourse("cron", course, stage);
  const held = await runCourse("holdfast", course, stage);
  return compare(usual, held, course);
}
