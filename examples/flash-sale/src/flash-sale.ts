/**
 * The scenario: one sale, three shops. GET and DECR, the Lua script that everybody writes, and the inventory.
 */
import type { Scenario, ScenarioReport, Stage } from "@holdfast-examples/stage";
import { compare } from "./comparison.ts";
import type { Course } from "./course.ts";
import { runCourse } from "./run.ts";

/** Ten minutes to pay become 1.2 s; everything else in proportion, but for the 30 ms that a card takes. */
const FULL: Course = {
  units: 200,
  buyers: 2_000,
  arrivalMs: 2_000,
  holdMs: 1_200,
  chargeMs: 30,
  payAfterMaxMs: 200,
  againMs: 400,
  quietMs: 2_000,
  killAfterSold: 60,
};
const QUICK: Course = { ...FULL, units: 40, buyers: 400, arrivalMs: 600, killAfterSold: 16 };

/** One item, two servers: GET says 1 to both, and both DECR. */
export const flashSale: Scenario = {
  name: "flash-sale",
  failure: "a sale sells units that are not there, and loses others in abandoned carts and repeated requests",
  holds: ["@holdfast/inventory", "@holdfast/postgres"],
  run,
};

async function run(stage: Stage): Promise<ScenarioReport> {
  const course = stage.quick ? QUICK : FULL;
  const { units, buyers, holdMs } = course;
  stage.say(`  ${units} units, ${buyers} buyers, three replicas; a cart is held for 10 min → ${holdMs} ms`);
  const getDecr = await runCourse("get-decr", course, stage);
  const plainLua = await runCourse("plain-lua", course, stage);
  const held = await runCourse("holdfast", course, stage);
  return compare(getDecr, plainLua, held, course);
}
