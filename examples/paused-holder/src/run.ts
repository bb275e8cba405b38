/**
 * One run: two processes post to the same accounts. In each round one of them is stopped with SIGSTOP while it holds all locks, the other
 * one waits for them, posts, and then the first one wakes up and writes as well. In the next round they change places.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { STARTS_WITHIN, withPods, type Stage, type StagePods } from "@holdfast-examples/stage";
import type { Pod } from "@holdfast/testkit";
import { migrate } from "@holdfast/postgres";
import { Redis } from "ioredis";
import pg from "pg";
import { machineMs, shownKey, type Posted } from "./bookkeeper.ts";
import { accountsOf, OPENING_CENTS, roundsOf, type Course, type LockKind, type Round } from "./course.ts";
import { auditLedger, openLedger } from "./ledger.ts";
import { tally, type Outcome, type RoundResult } from "./outcome.ts";

const PROGRAM = new URL("./bookkeeper-pod.ts", import.meta.url);
const ANSWER_TIMEOUT_MS = 120_000;

/** Runs the course with one kind of lock. Leaves no process behind; database and keys stay, for who wants to look. */
export function runCourse(kind: LockKind, course: Course, stage: Stage): Promise<Outcome> {
  return withPods(stage, (started) => runRounds(kind, course, stage, started));
}

async function runRounds(kind: LockKind, course: Course, stage: Stage, started: StagePods): Promise<Outcome> {
  const databaseUrl = await stage.servers.database(`paused_holder_${kind}`);
  const prefix = stage.servers.prefix(`paused-holder-${kind}`);
  const { url: redisUrl } = await stage.servers.redis();
  const say = (line: string): void => stage.say(`  ${kind}: ${line}`);
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 2 });
  const redis = new Redis(redisUrl);
  await using stack = new AsyncDisposableStack();
  stack.defer(() => pool.end());
  stack.defer(() => redis.disconnect());
  if (kind === "fenced") await migrate(pool);
  await openLedger(pool, accountsOf(course));
  const env = {
    LOCK: kind,
    DATABASE_URL: databaseUrl,
    REDIS_URL: redisUrl,
    REDIS_PREFIX: prefix,
    LOCK_TTL_MS: String(course.scale.ttlMs),
  };
  const pods = await Promise.all([started.start(PROGRAM, env), started.start(PROGRAM, env)]);
  await Promise.all(pods.map((pod) => pod.ready(STARTS_WITHIN)));
  const results: RoundResult[] = [];
  for (const [index, round] of roundsOf(course).entries()) {
    const [stopped, successor] = index % 2 === 0 ? pods : pods.toReversed();
    if (stopped === undefined || successor === undefined) throw new Error("Two processes are needed.");
    const result = await runRound(round, stopped, successor, course, stage.signal);
    results.push(result);
    say(`round ${index + 1}: ${sentenceOf(result, stopped, successor)}`);
  }
  for (const pod of pods) await pod.request("close", undefined, ANSWER_TIMEOUT_MS);
  const shown = await redis.mget(accountsOf(course).map((account) => shownKey(prefix, account)));
  return tally(results, await auditLedger(pool), shown.map(Number), expectedOf(course));
}

async function runRound(
  { stopped: first, successor: second }: Round,
  stopped: Pod,
  successor: Pod,
  { scale }: Course,
  signal: AbortSignal,
): Promise<RoundResult> {
  signal.throwIfAborted();
  await stopped.request("begin", first, ANSWER_TIMEOUT_MS);
  stopped.pause();
  const pausedAtMs = machineMs();
  try {
    const overtakers = await successor.request<readonly Posted[]>("post", second, ANSWER_TIMEOUT_MS);
    // A timer may fire a fraction of a millisecond early.
    await sleep(Math.max(0, Math.ceil(scale.pauseMs - (machineMs() - pausedAtMs)) + 1), undefined, { signal });
    // It waits in the pipe, and is the first thing that the process finds when it wakes up.
    const finished = stopped.request<readonly Posted[]>("finish", undefined, ANSWER_TIMEOUT_MS);
    const wokenAtMs = machineMs();
    stopped.resume();
    return { late: await finished, overtakers, pausedMs: wokenAtMs - pausedAtMs, wokenAtMs };
  } finally {
    stopped.resume();
  }
}

/** What each account must have in the end: every posting was reported as done, in both runs. */
function expectedOf(course: Course): number[] {
  const rounds = roundsOf(course);
  return accountsOf(course).map((_, index) =>
    rounds.reduce(
      (sum, { stopped, successor }) => sum + (stopped[index]?.amountCents ?? 0) + (successor[index]?.amountCents ?? 0),
      OPENING_CENTS,
    ),
  );
}

function sentenceOf({ late, pausedMs }: RoundResult, stopped: Pod, successor: Pod): string {
  const accepted = late.filter(({ tries }) => tries[0]?.ledger === "accepted").length;
  const became =
    accepted === late.length
      ? "its writes are accepted"
      : `${late.length - accepted} of its ${late.length} entries are refused, and posted again`;
  return [
    `process ${stopped.pid} holds ${late.length} locks and is stopped for ${Math.round(pausedMs)} ms`,
    `process ${successor.pid} takes them over and posts`,
    `${stopped.pid} wakes up and writes: ${became}`,
  ].join("; ");
}
