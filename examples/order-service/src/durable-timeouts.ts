/**
 * TIMEOUTS=durable: the timeouts live in Redis and belong to no process. Whichever replica runs when one is due fires it; the timeouts that
 * a dead replica had taken on are taken over when its lease ends. They are scheduled and cancelled with the order's own transaction. What
 * Redis itself has lost is found by `reconcile`, which compares the pending orders with what is scheduled.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { ReconcileReport, ScheduleRequest } from "@holdfast/timer";
import type { Redis } from "ioredis";
import type { Pool } from "pg";
import { CommittedTimer, type CommittedTimerOptions } from "./committed-timer.ts";
import type { PendingOrder } from "./orders.ts";
import type { Log, OnTimeout, PaymentTimeouts } from "./payment-timeouts.ts";
import type { Database } from "./transaction.ts";

/** How the timeouts are kept. */
export interface DurableTimeoutsOptions extends CommittedTimerOptions {
  readonly reconcileEveryMs: number;
}

/** Reads the orders that must have a timeout, page by page. */
export type PendingOrders = () => AsyncGenerator<readonly PendingOrder[], void, undefined>;

interface PaymentTimeout {
  readonly orderId: string;
}

/** After a failure, such as a Redis that was away, or one that was empty a moment ago and so cannot say yet what it has forgotten. */
const RECONCILE_AGAIN_MS = 2_000;

/** Timeouts that outlive every process. */
export class DurableTimeouts implements PaymentTimeouts {
  private readonly redis: Redis;
  private readonly committed: CommittedTimer<PaymentTimeout>;
  private readonly pending: PendingOrders;
  private readonly log: Log;
  private readonly reconcileEveryMs: number;
  private readonly stopped = new AbortController();

  constructor(
    redis: Redis,
    pool: Pool,
    pending: PendingOrders,
    onTimeout: OnTimeout,
    log: Log,
    options: DurableTimeoutsOptions,
  ) {
    this.redis = redis;
    this.pending = pending;
    this.log = log;
    this.reconcileEveryMs = options.reconcileEveryMs;
    this.committed = new CommittedTimer<PaymentTimeout>(redis, pool, "payment-timeout", log, options, (firing) =>
      onTimeout(firing.payload.orderId, firing),
    );
  }

  schedule(tx: Database, orderId: string, afterMs: number): Promise<void> {
    return this.committed.schedule(tx, orderId, afterMs, { orderId });
  }

  cancel(tx: Database, orderId: string): Promise<void> {
    return this.committed.cancel(tx, orderId);
  }

  forget(): void {
    // Nothing of a timeout is kept in this process.
  }

  /** @throws Error when new timeouts do not reach Redis. */
  check(): Promise<void> {
    return this.committed.check();
  }

  async start(): Promise<void> {
    await this.committed.start();
    void this.reconcileAgainAndAgain();
  }

  async stop(graceMs: number): Promise<void> {
    this.stopped.abort();
    // A reconcile that is under way finds the timer closed, and ends.
    await this.committed.stop(graceMs);
  }

  private async reconcileAgainAndAgain(): Promise<void> {
    while (!this.stopped.signal.aborted) {
      let pauseMs = this.reconcileEveryMs;
      try {
        await this.reconcileOnce();
      } catch (error) {
        pauseMs = Math.min(pauseMs, RECONCILE_AGAIN_MS);
        if (!this.stopped.signal.aborted) this.log.warn({ err: error, pauseMs }, "reconcile failed, trying again");
      }
      await sleep(pauseMs, undefined, { signal: this.stopped.signal }).catch(() => undefined);
    }
  }

  private async reconcileOnce(): Promise<void> {
    const pages = this.pending();
    try {
      while (!this.stopped.signal.aborted) {
        // Before the page is read: what fires or is cancelled after this moment is newer than what the database says.
        const asOfMs = await this.redisTimeMs();
        const { done, value: page } = await pages.next();
        if (done === true) return;
        this.report(await this.committed.timer.reconcile(page.map(wanted), { asOfMs }));
      }
    } finally {
      await pages.return();
    }
  }

  private report({ restored, dead }: ReconcileReport): void {
    if (restored > 0) this.log.warn({ restored }, "payment timeouts were missing and are scheduled again");
    if (dead > 0) this.log.error({ dead }, "payment timeouts were given up: see dead.list() and dead.redrive()");
  }

  private async redisTimeMs(): Promise<number> {
    const [seconds, microseconds] = await this.redis.time();
    return Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000);
  }
}

/** Time left, not a time of day: the clocks of PostgreSQL and Redis need not agree. */
function wanted({ id, remainingMs }: PendingOrder): ScheduleRequest<PaymentTimeout> {
  return { id, afterMs: Math.max(0, Math.ceil(remainingMs)), payload: { orderId: id } };
}
