/** Options of a scheduler: complete, checked, read-only. */
import { hostname } from "node:os";
import { integerOr, leaseRangeMs, resolveCommonOptions, text } from "@holdfast/core";
import type { CommonOptions, ResolvedCommonOptions } from "@holdfast/core";
import type { SchedulerEvent } from "./events.ts";
import { recurrenceOf } from "./recurrence.ts";

/** Options of a Scheduler. */
export interface SchedulerOptions extends CommonOptions<SchedulerEvent> {
  /** IANA time zone of cron patterns. Default `"UTC"`. */
  readonly timezone?: string | undefined;
  /** This process in the history, 1 to 256 bytes. Default the host's name and a random id. */
  readonly runner?: string | undefined;
  /** After a crash its runs are taken over within this and a poll, in milliseconds; renewed while a run is under way. Default 15,000. */
  readonly leaseMs?: number | undefined;
  /** Longest sleep between two looks at the server, in milliseconds, 10 to 60,000. Default 1,000. */
  readonly pollMs?: number | undefined;
  /** Records of history per job, 1 to 1,000. Default 100. */
  readonly historyMax?: number | undefined;
}

/** Options of a scheduler, complete. */
export interface ResolvedSchedulerOptions extends ResolvedCommonOptions<SchedulerEvent> {
  readonly timezone: string;
  readonly runner: string;
  readonly leaseMs: number;
  readonly pollMs: number;
  readonly historyMax: number;
}

/** @throws TypeError, RangeError naming the field, the allowed range and the value got */
export function resolveSchedulerOptions(options: SchedulerOptions): ResolvedSchedulerOptions {
  const common = resolveCommonOptions(options);
  const { timezone = "UTC", runner } = options;
  recurrenceOf({ cron: "0 0 * * *", timezone: text("timezone", timezone) });
  return {
    ...common,
    timezone,
    runner: runner === undefined ? `${hostname()}:${common.random.id()}` : text("runner", runner),
    leaseMs: integerOr(15_000, "leaseMs", options.leaseMs, leaseRangeMs),
    pollMs: integerOr(1_000, "pollMs", options.pollMs, { min: 10, max: 60_000 }),
    historyMax: integerOr(100, "historyMax", options.historyMax, { min: 1, max: 1_000 }),
  };
}
