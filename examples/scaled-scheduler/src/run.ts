/**
 * One run: three replicas, some hours, one replica killed in the middle of the second, and then the outbox is read.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { STARTS_WITHIN, withPods, type Stage, type StagePods } from "@holdfast-examples/stage";
import type { Pod, RedisServer } from "@holdfast/testkit";
import { outboxKey, type Mail } from "./mailing.ts";
import { missingOf, outcomeOf, type Killed, type Outcome } from "./outcome.ts";
import type { ReplicaSettings } from "./replica-pod.ts";

/** The one thing in which the two runs differ. */
export type SchedulerKind = "cron" | "holdfast";

/** What happens in a run, the same in both. */
export interface Course {
  /** What stands for an hour. */
  readonly hourMs: number;
  readonly hours: number;
  readonly customers: number;
  /** How long a mail takes. */
  readonly mailMs: number;
  /** After so long a run is taken over. */
  readonly leaseMs: number;
}

/** What a run found. */
export interface RunResult {
  readonly outcome: Outcome;
  /** Null when no replica got so far. */
  readonly killed: Killed | null;
}

const REPLICAS = 3;
const PROGRAM = new URL("replica-pod.ts", import.meta.url);
/** Mails of its hour after which a replica is killed. */
const KILL_AFTER = 2;
/** Reached by what never comes, not by what a busy machine delays. */
const PATIENCE_MS = 60_000;
const LOOK_EVERY_MS = 100;

/** Runs the course. Leaves no process behind. */
export function runCourse(kind: SchedulerKind, course: Course, stage: Stage): Promise<RunResult> {
  return withPods(stage, (pods) => runHours(kind, course, stage, pods));
}

async function runHours(kind: SchedulerKind, course: Course, stage: Stage, started: StagePods): Promise<RunResult> {
  const redis = await stage.servers.redis();
  const prefix = stage.servers.prefix(`scaled-scheduler-${kind}`);
  const say = (line: string): void => stage.say(`  ${kind}: ${line}`);
  const pods = await startReplicas(started, { kind, redisUrl: redis.url, prefix }, course);
  const firstMs = (Math.floor(Date.now() / course.hourMs) + 1) * course.hourMs;
  const hours = Array.from({ length: course.hours }, (_, index) => firstMs + index * course.hourMs);
  say(`${REPLICAS} replicas are ready`);
  const killed = await killDuring(hours[1] as number, pods, stage.signal);
  if (killed !== null) say(`${killed.replica} is killed in the middle of the second hour`);
  await sleep(Math.max(0, (hours.at(-1) as number) - Date.now()), undefined, { signal: stage.signal });
  // A cron knows nothing of an hour that it has missed: what is missing there never comes.
  const mails = await settled(redis, prefix, hours, course, kind === "holdfast", stage.signal);
  return { outcome: outcomeOf(mails, hours, course.customers, killed), killed };
}

async function startReplicas(
  started: StagePods,
  where: Pick<ReplicaSettings, "kind" | "redisUrl" | "prefix">,
  { customers, mailMs, leaseMs, hourMs: everyMs }: Course,
): Promise<ReadonlyMap<string, Pod>> {
  const pods = new Map<string, Pod>();
  await Promise.all(
    Array.from({ length: REPLICAS }, async (_, index) => {
      const replica = `replica-${index + 1}`;
      const settings: ReplicaSettings = {
        ...where,
        replica,
        customers,
        mailMs,
        leaseMs,
        everyMs,
        asksAfter: KILL_AFTER,
      };
      const pod = await started.start(PROGRAM, { REPLICA: JSON.stringify(settings) });
      pods.set(replica, pod);
      await pod.ready(STARTS_WITHIN);
    }),
  );
  return pods;
}

/**
 * Kills the first replica that asks, in this hour or (a busy machine may have kept a cron from it) a later one, whether it shall go on. All
 * others are told to, as long as they ask.
 */
async function killDuring(hourMs: number, pods: ReadonlyMap<string, Pod>, signal: AbortSignal): Promise<Killed | null> {
  const { promise: killed, resolve } = Promise.withResolvers<Killed>();
  let isChosen = false;
  const answer = async (replica: string, pod: Pod): Promise<void> => {
    for await (const message of pod) {
      const mail = message as Mail;
      if (isChosen || mail.hourMs < hourMs) await pod.request("goOn", mail.hourMs);
      else {
        isChosen = true;
        await pod.kill();
        resolve({ replica, hourMs: mail.hourMs });
      }
    }
  };
  // They end with their pods, which may be in the middle of a question.
  for (const [replica, pod] of pods) answer(replica, pod).catch(() => undefined);
  const over = new AbortController();
  const patience = sleep(hourMs - Date.now() + PATIENCE_MS, null, { signal: AbortSignal.any([signal, over.signal]) });
  try {
    return await Promise.race([killed, patience]);
  } finally {
    over.abort();
    patience.catch(() => undefined);
  }
}

/** Resolves with the mails for these hours when no more of them come, and none of those to `wait` for is missing. */
async function settled(
  redis: RedisServer,
  prefix: string,
  hours: readonly number[],
  { customers, mailMs }: Course,
  waits: boolean,
  signal: AbortSignal,
): Promise<Mail[]> {
  const runMs = customers * mailMs;
  const untilMs = performance.now() + PATIENCE_MS;
  let seen = -1;
  for (;;) {
    await sleep(runMs + LOOK_EVERY_MS, undefined, { signal });
    const reply = await redis.call("LRANGE", outboxKey(prefix), 0, -1);
    const mails = (Array.isArray(reply) ? reply : []).map((text) => JSON.parse(String(text)) as Mail);
    const due = mails.filter(({ hourMs }) => hours.includes(hourMs));
    const isComplete = !waits || missingOf(due, hours, customers) === 0;
    if ((isComplete && due.length === seen) || performance.now() > untilMs) return due;
    seen = due.length;
  }
}
