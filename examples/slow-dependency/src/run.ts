/**
 * The run: two dependencies and three replicas of each side, all real processes, side by side at the same time. One dependency becomes slow
 * in the middle.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { STARTS_WITHIN, withPods, type Stage, type StagePods } from "@holdfast-examples/stage";
import type { Pod } from "@holdfast/testkit";
import { SIDES, type Course, type Side } from "./course.ts";
import type { DependencySettings } from "./dependency-pod.ts";
import { outcomeOf, type Outcome } from "./outcome.ts";
import type { ReplicaFigures, ReplicaSettings } from "./replica-pod.ts";
import { goodput } from "./tally.ts";

const REPLICA = new URL("replica-pod.ts", import.meta.url);
const DEPENDENCY = new URL("dependency-pod.ts", import.meta.url);
const LOOK_EVERY_MS = 500;

/** Runs the course. Leaves no process behind. */
export function runCourse(course: Course, stage: Stage): Promise<Readonly<Record<Side, Outcome>>> {
  return withPods(stage, (pods) => runSides(course, stage, pods));
}

async function runSides(course: Course, stage: Stage, pods: StagePods): Promise<Readonly<Record<Side, Outcome>>> {
  const [payments, profiles] = await Promise.all([
    startDependency({ ...course.payments, seed: stage.seed }, pods),
    startDependency({ beforeMs: course.profilesMs, afterMs: course.profilesMs, seed: stage.seed }, pods),
  ]);
  const urls = { paymentsUrl: payments.url, profilesUrl: profiles.url };
  const replicas = await Promise.all(
    SIDES.map(async (side) => [side, await startReplicas(side, course, urls, pods)] as const),
  );
  stage.say(`  ${replicas.flatMap(([, group]) => group).length} replicas are ready, three of each side`);
  const all = new Map(replicas);
  await ask(all, "start");
  await sleep(course.warmUpMs, undefined, { signal: stage.signal });
  const answerMs = await payments.pod.request("slow");
  await ask(all, "count");
  stage.say(`  payments answers in ${String(answerMs)} ms from now on, and fails never`);
  await watch(all, course, stage);
  const figures = await ask(all, "finish");
  const stoodStillMs = await Promise.all([payments, profiles].map(({ pod }) => pod.request<number>("stoodStillMs")));
  const outcome = (side: Side): Outcome => outcomeOf(figures.get(side) ?? [], Math.max(...stoodStillMs));
  return { pool: outcome("pool"), opossum: outcome("opossum"), bulkhead: outcome("bulkhead") };
}

async function startDependency(
  settings: DependencySettings,
  pods: StagePods,
): Promise<{ readonly pod: Pod; readonly url: string }> {
  const pod = await pods.start(DEPENDENCY, { DEPENDENCY: JSON.stringify(settings) });
  return { pod, url: await pod.ready<string>(STARTS_WITHIN) };
}

function startReplicas(
  side: Side,
  { callsPerSecond, replicas, permits, deadlineMs, openMs }: Course,
  urls: { readonly paymentsUrl: string; readonly profilesUrl: string },
  pods: StagePods,
): Promise<Pod[]> {
  const everyMs = (replicas * 1_000) / callsPerSecond;
  const settings: ReplicaSettings = { side, ...urls, everyMs, permits, deadlineMs, openMs };
  return Promise.all(
    Array.from({ length: replicas }, async () => {
      const pod = await pods.start(REPLICA, { REPLICA: JSON.stringify(settings) });
      await pod.ready(STARTS_WITHIN);
      return pod;
    }),
  );
}

/** Asks every replica of every side at the same time. */
async function ask(
  sides: ReadonlyMap<Side, readonly Pod[]>,
  what: "start" | "count" | "figures" | "finish",
): Promise<ReadonlyMap<Side, readonly ReplicaFigures[]>> {
  const answers = [...sides].map(async ([side, pods]) => {
    const figures = await Promise.all(pods.map((pod) => pod.request<ReplicaFigures>(what)));
    return [side, figures] as const;
  });
  return new Map(await Promise.all(answers));
}

/** Shows how it goes until the slow time is over. */
async function watch(sides: ReadonlyMap<Side, readonly Pod[]>, { slowMs }: Course, stage: Stage): Promise<void> {
  const untilMs = performance.now() + slowMs;
  for (let leftMs = slowMs; leftMs > 0; leftMs = untilMs - performance.now()) {
    await sleep(Math.min(LOOK_EVERY_MS, leftMs), undefined, { signal: stage.signal });
    const figures = await ask(sides, "figures");
    const seconds = Math.ceil((slowMs - Math.max(0, untilMs - performance.now())) / 1_000);
    stage.show([
      `  slow for ${seconds} s`,
      ...SIDES.map((side) => `  ${side.padEnd(9)} ${sentenceOf(outcomeOf(figures.get(side) ?? []))}`),
    ]);
  }
}

function sentenceOf({ payments, profiles, openings }: Outcome): string {
  const percent = (share: number): string => `${Math.round(share * 100)} %`;
  return [
    `payments in time ${percent(goodput(payments))}`,
    `longest wait ${Math.round(payments.longestMs)} ms`,
    `breaker opened ${openings}×`,
    `profiles in time ${percent(goodput(profiles))}`,
  ].join(" · ");
}
