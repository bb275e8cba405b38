/**
 * The scenario: a rolling deployment under traffic, with the payment timeouts in memory and then durable.
 */
import type { Scenario, ScenarioReport, Stage } from "@holdfast-examples/stage";
import { compare } from "./comparison.ts";
import { runCourse, type Course } from "./run.ts";
import { describeScale, scaleOf } from "./scale.ts";

/** 60 s become 4 s: three replicas can be replaced, a second each, while orders of all ages are pending. */
const FULL = { factor: 15, orders: 300, trafficMs: 6_000, rollAtMs: 1_000 };
const QUICK = { factor: 20, orders: 80, trafficMs: 3_000, rollAtMs: 500 };

/** A pod dies with its payment timeouts in memory: the orders stay PENDING_PAYMENT. */
export const rollingDeploy: Scenario = {
  name: "rolling-deploy",
  failure: "a pod dies with its 60 s payment timeouts in memory: the orders stay PENDING_PAYMENT for ever",
  holds: ["@holdfast/timer"],
  run,
};

async function run(stage: Stage): Promise<ScenarioReport> {
  const course = courseOf(stage);
  stage.say(`  ${describeScale(course.scale)}`);
  const memory = await runCourse("memory", course, stage);
  const durable = await runCourse("durable", course, stage);
  return compare(memory, durable, course);
}

function courseOf({ quick, seed }: Stage): Course {
  const { factor, orders, trafficMs, rollAtMs } = quick ? QUICK : FULL;
  return { seed, ordersMin: orders, spacingMs: trafficMs / orders, scale: scaleOf(factor), rollAtMs };
}
