/**
 * One run: three replicas, customers, a rolling deployment in the middle, one replica killed, and then enough time for every timeout that
 * will ever come.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { withPods, type Stage, type StagePods } from "@holdfast-examples/stage";
import pg from "pg";
import { Deployment, type DeploymentCounts } from "./deployment.ts";
import { readOutcome, readProgress, type Outcome, type Progress } from "./outcome.ts";
import { seconds, type Scale } from "./scale.ts";
import { ServiceClient } from "./service-client.ts";
import { Traffic, type TrafficCounts } from "./traffic.ts";
import { planTraffic } from "./traffic-plan.ts";

/** The one thing in which the two runs differ. */
export type TimeoutsKind = "memory" | "durable";

/** What happens in a run, the same in both. */
export interface Course {
  readonly seed: number;
  /** So many customers come, and more at the same pace while the deployment is still going on. */
  readonly ordersMin: number;
  readonly spacingMs: number;
  readonly scale: Scale;
  /** From the start of the traffic to the rolling deployment. */
  readonly rollAtMs: number;
}

/** What a run found. */
export interface RunResult {
  readonly outcome: Outcome;
  readonly traffic: TrafficCounts;
  readonly deployment: DeploymentCounts;
  readonly retries: number;
}

const REPLICAS = 3;
const LOOK_EVERY_MS = 100;
/** A durable timeout comes, be it late because the machine is busy: only what never comes is waited for so long. */
const PATIENCE_MS = 60_000;
/** Between the end of the rolling deployment and the crash. */
const CALM_MS = 300;

/** Runs the course with one kind of timeouts. Leaves no process behind; the database stays, for who wants to look. */
export function runCourse(kind: TimeoutsKind, course: Course, stage: Stage): Promise<RunResult> {
  return withPods(stage, (pods) => runDeployment(kind, course, stage, pods));
}

async function runDeployment(kind: TimeoutsKind, course: Course, stage: Stage, pods: StagePods): Promise<RunResult> {
  const databaseUrl = await stage.servers.database(`rolling_deploy_${kind}`);
  const env = await environment(kind, databaseUrl, course.scale, stage);
  const say = (line: string): void => stage.say(`  ${kind}: ${line}`);
  await using deployment = new Deployment({
    pods,
    env,
    terminationGraceMs: course.scale.terminationGraceMs,
    endpointDelayMs: course.scale.drainDelayMs / 2,
    say,
  });
  await deployment.scaleTo(REPLICAS);
  say(`${REPLICAS} replicas are ready`);
  const client = new ServiceClient(() => deployment.urls(), { knowsKeys: kind === "durable" });
  const traffic = new Traffic(client);
  const database = new pg.Pool({ connectionString: databaseUrl, max: 2 });
  database.on("error", (error) => say(`a connection to PostgreSQL was lost: ${error.message}`));
  const over = new AbortController();
  const watching = watch(database, kind, deployment, stage, over.signal);
  try {
    let disturbed = false;
    const { seed, ordersMin, spacingMs, scale } = course;
    const customers = planTraffic({ seed, spacingMs, paymentTimeoutMs: scale.paymentTimeoutMs });
    await together(stage.signal, [
      (signal) => traffic.run(customers, ordersMin, () => disturbed, signal),
      async (signal) => {
        await disturb(deployment, course, signal);
        disturbed = true;
      },
    ]);
    await deployment.settled();
    say("the last customer has gone; waiting for the last timeout");
    await lastTimeout(database, kind === "durable" ? PATIENCE_MS : course.scale.stuckAfterMs, stage.signal);
    await deployment.stop();
    const outcome = await readOutcome(database);
    return { outcome, traffic: traffic.counts, deployment: deployment.counts, retries: client.retries };
  } finally {
    over.abort();
    await watching;
    await database.end();
  }
}

/** Runs all tasks to their ends; when one fails, or the signal aborts, the others are told, and nothing is left running behind. */
async function together(
  signal: AbortSignal,
  tasks: readonly ((signal: AbortSignal) => Promise<void>)[],
): Promise<void> {
  const failure = new AbortController();
  const either = AbortSignal.any([signal, failure.signal]);
  await Promise.all(tasks.map((task) => task(either).catch((error: unknown) => failure.abort(error))));
  either.throwIfAborted();
}

async function environment(
  kind: TimeoutsKind,
  databaseUrl: string,
  scale: Scale,
  stage: Stage,
): Promise<Record<string, string>> {
  const redis = await stage.servers.redis();
  return {
    TIMEOUTS: kind,
    DATABASE_URL: databaseUrl,
    REDIS_URL: redis.url,
    REDIS_PREFIX: stage.servers.prefix(`rolling-deploy-${kind}`),
    PAYMENT_TIMEOUT_MS: String(scale.paymentTimeoutMs),
    SHUTDOWN_GRACE_MS: String(scale.shutdownGraceMs),
    DRAIN_DELAY_MS: String(scale.drainDelayMs),
    TIMER_LEASE_MS: String(scale.leaseMs),
    RECONCILE_EVERY_MS: String(scale.reconcileEveryMs),
    RECONCILE_MIN_AGE_MS: String(scale.reconcileMinAgeMs),
  };
}

/** What production does to a service while customers are using it. */
async function disturb(deployment: Deployment, course: Course, signal: AbortSignal): Promise<void> {
  await sleep(course.rollAtMs, undefined, { signal });
  await deployment.roll();
  await sleep(CALM_MS, undefined, { signal });
  await deployment.crash();
}

/** Until nothing is pending, or what is pending is so long overdue that it is stuck. */
async function lastTimeout(database: pg.Pool, stuckAfterMs: number, signal: AbortSignal): Promise<void> {
  for (;;) {
    const { pending, lastDueInMs } = await readProgress(database);
    if (pending === 0 || lastDueInMs < -stuckAfterMs) return;
    await sleep(LOOK_EVERY_MS, undefined, { signal });
  }
}

async function watch(
  database: pg.Pool,
  kind: TimeoutsKind,
  deployment: Deployment,
  stage: Stage,
  signal: AbortSignal,
): Promise<void> {
  const startMs = performance.now();
  while (!signal.aborted) {
    const progress = await readProgress(database).catch(() => undefined);
    // The figures come from the end of the run; a look that fails in between is only a look.
    if (progress !== undefined) stage.show(boardOf(kind, performance.now() - startMs, deployment.states(), progress));
    await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
  }
  stage.show([]);
}

function boardOf(kind: TimeoutsKind, elapsedMs: number, states: readonly string[], progress: Progress): string[] {
  const { pending, paid, timedOut } = progress;
  return [
    `  ${kind} timeouts, ${seconds(elapsedMs)}`,
    `    replicas  ${states.join(" · ")}`,
    `    orders    ${pending + paid + timedOut} placed · ${paid} paid · ${timedOut} timed out · ${pending} pending`,
  ];
}
