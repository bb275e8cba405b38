/** Recurring jobs: every pod is a replica of a scheduler with one job, twice a second, of which every occurrence counts. */
import { Scheduler } from "@holdfast/scheduler";
import type { Run } from "@holdfast/scheduler";
import { pollUntil } from "@holdfast/testkit";
import { checkScheduler, everyMs } from "../checkers/scheduler.ts";
import { aborted, pace } from "./pace.ts";
import type { Bench, Scenario } from "./scenario.ts";
import type { Workplace } from "./workplace.ts";

/** The name of the job. */
export const job = "job";
/** The name of the scheduler. */
export const schedulerName = "chaos";
const historyMax = 1_000;
const catchUpWithinMs = 60_000;
const commandTimeoutMs = 400;
/** Where nothing fails there is no hurry, and the machine may be busy. */
const benchTimeoutMs = 60_000;

const options = {
  everyMs,
  missed: "all",
  missedAfterMs: 200,
  overlap: "queue",
  atMostMs: 5_000,
  attemptsMax: 100,
  backoff: { baseMs: 20, delayMaxMs: 100 },
} as const;

async function act(place: Workplace, run: Run): Promise<void> {
  const { occurrenceId, attempt, token, scheduledForMs, signal } = run;
  place.note("began", occurrenceId, { attempt, token, scheduledForMs });
  const called = await place.call({ call: "run", resource: job, operation: `${occurrenceId}/${attempt}` }, async () => {
    // Mostly quick, so that what a step of the clock leaves is caught up soon; now and then long enough to be interrupted.
    await pace(place.random.chance(0.25) ? place.random.int(60, 250) : place.random.int(0, 8), signal);
    if (place.random.chance(0.05)) throw new Error("by chance");
  });
  if (called.outcome !== "ok") throw called.error;
  place.note("ended", occurrenceId, { attempt, token, aborted: signal.aborted });
}

function schedulerOf(place: Pick<Workplace, "redis" | "prefix">, runner: string, timeoutMs: number): Scheduler {
  return new Scheduler(place.redis, schedulerName, {
    prefix: place.prefix,
    runner,
    commandTimeoutMs: timeoutMs,
    leaseMs: 700,
    pollMs: 150,
    historyMax,
  });
}

/**
 * Redis and the runner share one machine, hence one wall clock: with it the checker can place an occurrence in the history. That clock is
 * slewed now and then, by up to half a millisecond a second, so it is read at both ends.
 */
function readClock(bench: Bench): void {
  bench.note("clock", job, { wallMs: Date.now() });
}

function prepare(bench: Bench): Promise<void> {
  readClock(bench);
  return Promise.resolve();
}

async function work(place: Workplace): Promise<void> {
  const scheduler = schedulerOf(place, place.pod, commandTimeoutMs);
  scheduler.job(job, options, (run) => act(place, run));
  await scheduler.start();
  await aborted(place.stopping);
  await scheduler.stop({ graceMs: 1_500 });
}

/** An occurrence on record. */
export interface RecordedRun {
  readonly occurrenceId: string;
  readonly scheduledForMs: number;
  readonly outcome: string;
  readonly count: number;
  readonly token: number | null;
}

/** What the history of the job says at the end, the earliest first. */
export interface SchedulerFindings {
  readonly runs: readonly RecordedRun[];
  readonly historyMax: number;
}

async function settle(bench: Bench): Promise<void> {
  readClock(bench);
  const scheduler = schedulerOf(bench, "bench", benchTimeoutMs);
  await pollUntil(
    "the occurrence before now has been completed",
    async () => {
      const { runs } = await scheduler.history(job);
      const [seconds] = (await bench.redis.time()) as unknown as [string];
      return (runs[0]?.scheduledForMs ?? 0) >= Number(seconds) * 1_000 - 2 * everyMs;
    },
    { timeoutMs: catchUpWithinMs, intervalMs: 50 },
    // What is missing shows in the findings.
  ).catch(() => undefined);
  await scheduler.pause(job);
  await pace(1_000, new AbortController().signal);
  await scheduler.stop({ graceMs: 0 });
}

async function inspect(bench: Bench): Promise<SchedulerFindings> {
  const scheduler = schedulerOf(bench, "bench", benchTimeoutMs);
  const { runs } = await scheduler.history(job);
  await scheduler.stop({ graceMs: 0 });
  return {
    runs: runs
      .map(({ occurrenceId, scheduledForMs, outcome, count, token }) => ({
        occurrenceId,
        scheduledForMs,
        outcome,
        count,
        token,
      }))
      .toReversed(),
    historyMax,
  };
}

/** The scenario of `@holdfast/scheduler`. */
export const scenario: Scenario = { name: "scheduler", prepare, work, settle, inspect, check: checkScheduler };
