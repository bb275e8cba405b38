/** What compiles and what does not, under exactOptionalPropertyTypes. Checked by tsc, never run. */
import type { Fenced } from "@holdfast/core";
import { Cluster as Cluster6, Redis as Redis6 } from "ioredis";
import { Cluster as Cluster5, Redis as Redis5 } from "ioredis5";
import { expectTypeOf } from "vitest";
import { Scheduler } from "../src/index.ts";
import type { JobOptions, Run, RunHistory, RunNowResult, RunRecord, SchedulerEvent, StopReport } from "../src/index.ts";

declare const redis: Redis6;

/** Clients of both majors, single and Cluster, fit. */
export const clients: readonly Scheduler[] = [
  new Scheduler(new Redis6(), "x"),
  new Scheduler(new Redis5(), "x"),
  new Scheduler(new Cluster6([]), "x"),
  new Scheduler(new Cluster5([]), "x"),
];

/** Options accept explicit undefined. */
export const loose: Scheduler = new Scheduler(redis, "x", {
  timezone: undefined,
  runner: undefined,
  leaseMs: undefined,
  pollMs: undefined,
  historyMax: undefined,
  prefix: undefined,
  commandTimeoutMs: undefined,
  durability: undefined,
  clock: undefined,
  random: undefined,
  onEvent: undefined,
});

/** So do the options of a job, and of each call. */
export const everything: JobOptions = {
  everyMs: 1_000,
  cron: undefined,
  version: undefined,
  missed: undefined,
  missedAfterMs: undefined,
  overlap: undefined,
  atMostMs: undefined,
  atLeastMs: undefined,
  attemptsMax: undefined,
  backoff: undefined,
};

/** Statements that compile, and some that do not. */
export async function compiles(scheduler: Scheduler): Promise<void> {
  scheduler.job("a", { cron: "0 0 * * *", everyMs: undefined, version: undefined, missed: undefined }, () => undefined);
  scheduler.job("b", { everyMs: 1_000 }, async (run) => {
    expectTypeOf(run).toEqualTypeOf<Run>();
    expectTypeOf(run).toExtend<Fenced>();
    expectTypeOf(run.signal).toEqualTypeOf<AbortSignal>();
  });
  // @ts-expect-error one of cron and everyMs is needed
  scheduler.job("c", { version: 1 }, () => undefined);
  // @ts-expect-error only one of them
  scheduler.job("d", { cron: "0 0 * * *", everyMs: 1_000 }, () => undefined);
  // @ts-expect-error a closed set of words
  scheduler.job("e", { everyMs: 1_000, missed: "some" }, () => undefined);
  expectTypeOf<JobOptions["missed"]>().toEqualTypeOf<"skip" | "once" | "all" | undefined>();
  const result: RunNowResult = await scheduler.runNow("b", { operationId: undefined });
  switch (result.kind) {
    case "queued":
      expectTypeOf(result.occurrenceId).toEqualTypeOf<string>();
      break;
    case "busy":
    case "absent":
      break;
    default:
      result satisfies never;
  }
  expectTypeOf(await scheduler.history("b")).toEqualTypeOf<RunHistory>();
  expectTypeOf<RunHistory["runs"]>().toEqualTypeOf<readonly RunRecord[]>();
  expectTypeOf(await scheduler.stop({ graceMs: 1 })).toEqualTypeOf<StopReport>();
  expectTypeOf<Extract<SchedulerEvent, { type: "failed" }>["why"]>().toEqualTypeOf<"threw" | "overran" | "crashed">();
}

/** Statements that do not compile. */
export async function refused(scheduler: Scheduler, job: JobOptions): Promise<void> {
  // @ts-expect-error a client is needed
  void new Scheduler("redis://localhost", "x");
  // @ts-expect-error something with a call method is not enough
  void new Scheduler({ call: async () => "OK" }, "x");
  // @ts-expect-error a name is needed
  void new Scheduler(redis);
  // @ts-expect-error options have names
  void new Scheduler(redis, "x", { timeZone: "UTC" });
  // @ts-expect-error a duration is a number
  void new Scheduler(redis, "x", { leaseMs: "15s" });
  // @ts-expect-error durability needs both fields
  void new Scheduler(redis, "x", { durability: { replicas: 1 } });
  // @ts-expect-error a job has a handler
  scheduler.job("a", job);
  // @ts-expect-error a job has a name
  scheduler.job(job, () => undefined);
  // @ts-expect-error a closed set of words
  scheduler.job("a", { everyMs: 1_000, overlap: "replace" }, () => undefined);
  // @ts-expect-error cron is a pattern
  scheduler.job("a", { cron: 5 }, () => undefined);
  // @ts-expect-error options have names
  scheduler.job("a", { everyMs: 1_000, retries: 3 }, () => undefined);
  // @ts-expect-error options are read-only
  job.version = 2;
  scheduler.job("a", job, (run) => {
    // @ts-expect-error a run is read-only
    run.token = 1;
    // @ts-expect-error a run has no such field
    void run.payload;
  });
  // @ts-expect-error a stop has a grace in milliseconds
  await scheduler.stop({ graceMs: "10s" });
  // @ts-expect-error an operation id is text
  await scheduler.runNow("a", { operationId: 1 });
  // @ts-expect-error a closed set of answers
  (await scheduler.pause("a")).kind satisfies "paused" | "stopped";
}
