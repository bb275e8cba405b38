/**
 * Scheduled jobs on Redis that run once per cluster:
 *
 * ```ts
 * const scheduler = new Scheduler(redis, "billing", { timezone: "Europe/Paris" });
 * scheduler.job("end-of-day", { version: 1, cron: "0 18 * * *", atMostMs: 600_000 }, async ({ scheduledForMs, token }) => {
 *   await ledger.close(new Date(scheduledForMs), token);
 * });
 * await scheduler.start(); // in every replica; each occurrence runs in one of them
 * await scheduler.stop({ graceMs: 10_000 }); // on SIGTERM
 * ```
 */
export type { JobOptions, JobTiming } from "./definition.ts";
export { JobChangingError, RunLostError, RunOverranError } from "./errors.ts";
export { schedulerChannel, type SchedulerEvent } from "./events.ts";
export type { RunHistory, RunRecord } from "./history.ts";
export type { SchedulerOptions } from "./options.ts";
export type { Run, RunHandler } from "./run.ts";
export { Scheduler, type OperationOptions, type RunNowResult } from "./scheduler.ts";
export type { StopReport } from "@holdfast/timer";
