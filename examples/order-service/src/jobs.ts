/**
 * Owns what recurs: each job runs once for all replicas, in one that is alive.
 */
import { Scheduler, type SchedulerEvent } from "@holdfast/scheduler";
import type { Redis } from "ioredis";
import type { Pool } from "pg";
import { keepHouse } from "./housekeeping.ts";
import type { Log } from "./payment-timeouts.ts";
import type { Settlement } from "./settlement.ts";
import type { Stock } from "./stock.ts";

/** When the jobs run. */
export interface JobsOptions {
  readonly prefix: string;
  readonly commandTimeoutMs: number;
  readonly leaseMs: number;
  readonly pollMs: number;
  readonly version: number;
  readonly settlementCron: string | undefined;
  /** Undefined where there is no stock. */
  readonly ledgerEveryMs: number | undefined;
}

/** Name of the scheduler, for operators: `new Scheduler(redis, JOBS).runNow("settlement")`. */
export const JOBS = "orders";

/** What the jobs work on. */
export interface JobParts {
  readonly settlement: Settlement;
  readonly stock: Stock | undefined;
}

const HOUSEKEEPING_EVERY_MS = 3_600_000;

/** The jobs of one replica. */
export class Jobs {
  private readonly scheduler: Scheduler;

  constructor(redis: Redis, pool: Pool, { settlement, stock }: JobParts, log: Log, options: JobsOptions) {
    const { prefix, commandTimeoutMs, leaseMs, pollMs, version, settlementCron, ledgerEveryMs } = options;
    this.scheduler = new Scheduler(redis, JOBS, {
      prefix,
      commandTimeoutMs,
      leaseMs,
      pollMs,
      onEvent: (event) => report(event, log),
    });
    this.scheduler.job("housekeeping", { version, everyMs: HOUSEKEEPING_EVERY_MS }, ({ signal }) =>
      keepHouse(pool, signal),
    );
    if (settlementCron !== undefined)
      this.scheduler.job("settlement", { version, cron: settlementCron, missed: "once" }, (run) => settlement.run(run));
    if (stock !== undefined && ledgerEveryMs !== undefined)
      this.scheduler.job("stock-ledger", { version, everyMs: ledgerEveryMs, missed: "skip" }, ({ signal }) =>
        stock.keepLedger(signal),
      );
  }

  start(): Promise<void> {
    return this.scheduler.start();
  }

  async stop(graceMs: number): Promise<void> {
    await this.scheduler.stop({ graceMs: Math.floor(graceMs) });
  }
}

function report(event: SchedulerEvent, log: Log): void {
  const { type, job } = event;
  if (type === "attempt-failed" || type === "failed")
    log.error({ err: event.error, job, attempt: event.attempt }, "a job failed");
  if (type === "lost") log.warn({ job, attempt: event.attempt }, "a job was overtaken by another replica");
  if (type === "outdated" || type === "conflict")
    log.warn({ job, advice: event.advice }, "a job is defined otherwise: raise JOBS_VERSION");
}
