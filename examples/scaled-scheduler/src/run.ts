/**
 * One run: three replicas, some hours, one replica killed in the middle of the second, and then the outbox is read.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { StagePods, type Stage } from "@holdfast-examples/stage";
import type { Pod, RedisServer } from "@holdfast/testkit";
import { outboxKey, type Mail } from "./mailing.ts";
import { outcomeOf, type Outcome } from "./outcome.ts";
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
  /** The replica that was killed, and the hour that it was at; null when that failed. */
  readonly killed: { readonly replica: string; readonly hourMs: number } | null;
}

const REPLICAS = 3;
const PROGRAM = new URL("replica-pod.ts", import.meta.url);
/** Mails of its hour after which a replica is killed. */
const KILL_AFTER = 2;
const SETTLE_MAX_MS = 6_000;
const LOOK_EVERY_MS = 100;

/** Runs the course. Leaves no process behind. */
export async function runCourse(kind: SchedulerKind, course: Course, stage: Stage): Promise<RunResult> {
  const redis = await stage.servers.redis();
  const prefix = stage.servers.prefix(`scaled-scheduler-${kind}`);
  const say = (line: string): void => stage.say(`  ${kind}: ${line}`);
  const pods = new Map<string, Pod>();
  await using started = new StagePods(stage);
  await Promise.all(
    Array.from({ length: REPLICAS }, async (_, index) => {
      const replica = `replica-${index + 1}`;
      const { customers, mailMs, leaseMs, hourMs: everyMs } = course;
      const settings: ReplicaSettings = {
        kind,
        redisUrl: redis.url,
        prefix,
        replica,
        customers,
        mailMs,
        leaseMs,
        everyMs,
      };
      const pod = await started.start(PROGRAM, { REPLICA: JSON.stringify(settings) });
      pods.set(replica, pod);
      await pod.ready({ timeoutMs: 20_000 });
    }),
  );
  stage.signal.throwIfAborted();
  const firstMs = (Math.floor(Date.now() / course.hourMs) + 1) * course.hourMs;
  const hours = Array.from({ length: course.hours }, (_, index) => firstMs + index * course.hourMs);
  say(`${REPLICAS} replicas are ready`);
  const killed = await killDuring(hours[1] as number, pods, stage.signal);
  if (killed !== null) say(`${killed} is killed in the middle of the second hour`);
  await sleep(Math.max(0, (hours.at(-1) as number) - Date.now()), undefined, { signal: stage.signal });
  const mails = await settled(redis, prefix, hours, course, stage.signal);
  const outcome = outcomeOf(mails, hours, course.customers, killed ?? "");
  return { outcome, killed: killed === null ? null : { replica: killed, hourMs: hours[1] as number } };
}

/** Kills the first replica that is in the middle of an hour; null when none got there. */
async function killDuring(hourMs: number, pods: ReadonlyMap<string, Pod>, signal: AbortSignal): Promise<string | null> {
  const isThere = (message: unknown): boolean => {
    const mail = message as Mail;
    return mail.hourMs === hourMs && mail.customer >= KILL_AFTER;
  };
  const timeoutMs = hourMs - Date.now() + SETTLE_MAX_MS;
  const looking = [...pods].map(async ([name, pod]) => {
    await pod.waitForMessage(isThere, timeoutMs);
    return name;
  });
  const name = await Promise.any(looking).catch(() => null);
  signal.throwIfAborted();
  if (name !== null) await pods.get(name)?.kill();
  // The others are not awaited: what they wait for may never come.
  for (const one of looking) one.catch(() => undefined);
  return name;
}

/** The outbox once nothing more comes, or it is clear that nothing will. */
async function settled(
  redis: RedisServer,
  prefix: string,
  hours: readonly number[],
  { customers, mailMs }: Course,
  signal: AbortSignal,
): Promise<Mail[]> {
  const runMs = customers * mailMs;
  const untilMs = Date.now() + SETTLE_MAX_MS;
  let seen = -1;
  for (;;) {
    await sleep(runMs + LOOK_EVERY_MS, undefined, { signal });
    const reply = await redis.call("LRANGE", outboxKey(prefix), 0, -1);
    const mails = (Array.isArray(reply) ? reply : []).map((text) => JSON.parse(String(text)) as Mail);
    const due = mails.filter(({ hourMs }) => hours.includes(hourMs));
    if (due.length === seen || Date.now() > untilMs) return due;
    seen = due.length;
  }
}
