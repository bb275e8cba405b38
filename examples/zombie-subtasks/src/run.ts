/**
 * The run: on each side a service and its slow dependency, real processes, both sides at the same time. Requests come, are answered, and
 * then it is seen what still runs.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { STARTS_WITHIN, watchStandStill, withPods, type Stage, type StagePods } from "@holdfast-examples/stage";
import type { Pod } from "@holdfast/testkit";
import { SIDES, type Course, type Side } from "./course.ts";
import type { Outcome, RecommenderFigures } from "./outcome.ts";
import type { ShopFigures, ShopSettings } from "./shop-pod.ts";
import { Traffic } from "./traffic.ts";

const SHOP = new URL("shop-pod.ts", import.meta.url);
const RECOMMENDER = new URL("recommender-pod.ts", import.meta.url);
const LOOK_EVERY_MS = 50;
const SHOW_EVERY_MS = 500;
/** Twice what the slowest subtask takes is more than enough. */
const PATIENCE_MS = 60_000;

interface Running {
  readonly shop: Pod;
  readonly recommender: Pod;
  readonly url: string;
  readonly traffic: Traffic;
}

/** Runs the course. Leaves no process behind. */
export function runCourse(course: Course, stage: Stage): Promise<Readonly<Record<Side, Outcome>>> {
  return withPods(stage, (pods) => runSides(course, stage, pods));
}

async function runSides(course: Course, stage: Stage, pods: StagePods): Promise<Readonly<Record<Side, Outcome>>> {
  const shown = new AbortController();
  try {
    const [race, scope] = await Promise.all([startSide("race", course, pods), startSide("scope", course, pods)]);
    const sides = { race, scope };
    stage.say("  two services with their dependencies are ready");
    void show(sides, stage, shown.signal);
    const outcomes = SIDES.map(async (side) => [side, await runSide(sides[side], course, stage)] as const);
    return Object.fromEntries(await Promise.all(outcomes)) as Record<Side, Outcome>;
  } finally {
    shown.abort();
  }
}

async function startSide(side: Side, course: Course, pods: StagePods): Promise<Running> {
  const recommender = await pods.start(RECOMMENDER, { WORK_MS: String(course.recommendationsMs) });
  const recommendationsUrl = await recommender.ready<string>(STARTS_WITHIN);
  const settings: ShopSettings = { side, course, recommendationsUrl };
  const shop = await pods.start(SHOP, { SHOP: JSON.stringify(settings) });
  const url = await shop.ready<string>(STARTS_WITHIN);
  return { shop, recommender, url, traffic: new Traffic() };
}

async function runSide({ shop, recommender, url, traffic }: Running, course: Course, stage: Stage): Promise<Outcome> {
  const stoodStillMs = watchStandStill();
  await traffic.offer(url, course.requests, 1_000 / course.requestsPerSecond, stage.signal);
  const lastAnswerMs = performance.now();
  // Subtasks have the grace on both sides, and the service notes after it what runs on.
  await sleep(course.graceMs + LOOK_EVERY_MS, undefined, { signal: stage.signal });
  const isPatient = (): boolean => performance.now() - lastAnswerMs < PATIENCE_MS;
  let figures = await shop.request<ShopFigures>("figures", undefined, PATIENCE_MS);
  const runningAtTheEnd = figures.running;
  let endedMs = lastAnswerMs;
  while (figures.running > 0 && isPatient()) {
    await sleep(LOOK_EVERY_MS, undefined, { signal: stage.signal });
    figures = await shop.request<ShopFigures>("figures", undefined, PATIENCE_MS);
    endedMs = performance.now();
  }
  // That a client has gone away is heard a little later.
  let dependency = await recommender.request<RecommenderFigures>("figures", undefined, PATIENCE_MS);
  while (dependency.working > 0 && isPatient()) {
    await sleep(LOOK_EVERY_MS, undefined, { signal: stage.signal });
    dependency = await recommender.request<RecommenderFigures>("figures", undefined, PATIENCE_MS);
  }
  return {
    traffic: traffic.read(),
    shop: figures,
    recommender: dependency,
    runningAtTheEnd,
    afterLastAnswerMs: endedMs - lastAnswerMs,
    customersStoodStillMs: stoodStillMs(),
  };
}

/** Shows how it goes, until it is over. */
async function show(sides: Readonly<Record<Side, Running>>, stage: Stage, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    const lines = SIDES.map(async (side) => {
      const { shop, recommender, traffic } = sides[side];
      const [{ running }, { working }] = await Promise.all([
        shop.request<ShopFigures>("figures"),
        recommender.request<RecommenderFigures>("figures"),
      ]);
      const { answered, timedOut } = traffic.read();
      return `  ${side.padEnd(6)} ${answered} answered, ${timedOut} of them with a timeout · ${running} subtasks run · the dependency works on ${working} requests`;
    });
    const shown = await Promise.all(lines).catch(() => []);
    if (!over.aborted) stage.show(shown);
    await sleep(SHOW_EVERY_MS, undefined, { signal: over }).catch(() => undefined);
  }
}
