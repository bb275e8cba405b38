/** One replica with one job, told by its environment what to do. Says what it runs, and every event. */
import { setTimeout as delay } from "node:timers/promises";
import { reportReady, servePod } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { Scheduler } from "../src/index.ts";
import type { JobOptions, SchedulerOptions } from "../src/index.ts";

/** What a test hands over. */
export interface RunnerPodOptions {
  readonly url: string;
  readonly name: string;
  readonly scheduler: SchedulerOptions;
  readonly job: JobOptions;
  /** How long each run takes, in milliseconds. */
  readonly workMs: number;
}

const { url, name, scheduler: options, job, workMs } = JSON.parse(process.env["RUNNER"] ?? "") as RunnerPodOptions;
const redis = new Redis(url);
redis.on("error", () => undefined);
const scheduler = new Scheduler(redis, name, {
  ...options,
  onEvent: (event) =>
    process.send?.({ event: event.type, ...("occurrenceId" in event ? { id: event.occurrenceId } : {}) }),
});
scheduler.job("job", job, async ({ occurrenceId, attempt, token, version, signal }) => {
  process.send?.({ began: occurrenceId, attempt, token, version });
  await delay(workMs);
  process.send?.({ ended: occurrenceId, attempt, token, version, aborted: signal.aborted });
});
servePod({ stop: () => scheduler.stop({ graceMs: 20_000 }) });
await scheduler.start();
reportReady();
