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
  onEvent: undefined,
});

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
