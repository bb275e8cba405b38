/**
 * TIMEOUTS=durable: the timeouts live in Redis and belong to no process. Whichever replica runs when one is due fires it; the timeouts that
 * a dead replica had taken on are taken over when its lease ends. An order without a timeout (its process died between the INSERT and
 * the schedule, or Redis lost it) is found by `reconcile`, which compares the pending orders with what is scheduled.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { DurableTimer, type ReconcileReport, type ScheduleRequest, type TimerWorker } from "@holdfast/timer";
import type { Redis } from "ioredis";
import type { PendingOrder } from "./orders.ts";
import type { Log, OnTimeout, PaymentTimeouts } from "./payment-timeouts.ts";

/** How the timeouts are kept. */
export interface DurableTimeoutsOptions {
  readonly prefix: string;
  readonly leaseMs: number;
  readonly pollMs: number;
  readonly reconcileEveryMs: number;
}

/** Reads the orders that must have a timeout, page by page. */
export type PendingOrders = () => AsyncGenerator<readonly PendingOrder[], void, undefined>;

interface PaymentTimeout {
  readonly orderId: string;
}

const CONCURRENCY_MAX = 16;

/** 500 attempts, a quarter to half a minute apart once the first have failed, ride out a database that is away for three hours. */
const ATTEMPTS_MAX = 500;
const BACKOFF = { baseMs: 100, delayMaxMs: 30_000 };

/** After a failure, such as a Redis that was away, or one that was empty a moment ago and so cannot say yet what it has forgotten. */
const RECONCILE_AGAIN_MS = 2_000;

/** Timeouts that outlive every process. */
export class DurableTimeouts implements PaymentTimeouts {
  private readonly redis: Redis;
  private readonly timer: DurableTimer<PaymentTimeout>;
  private readonly worker: TimerWorker<PaymentTimeout>;
  private readonly pending: PendingOrders;
  private readonly log: Log;
  private readonly reconcileEveryMs: number;
  private readonly stopped = new AbortController();

  constructor(redis: Redis, pending: PendingOrders, onTimeout: OnTimeout, log: Log, options: DurableTimeoutsOptions) {
    this.redis = redis;
    this.pending = pending;
    this.log = log;
    this.reconcileEveryMs = options.reconcileEveryMs;
    this.timer = new DurableTimer<PaymentTimeout>(redis, "payment-timeout", { prefix: options.prefix });
    this.worker = this.timer.worker(
      {
        concurrencyMax: CONCURRENCY_MAX,
        leaseMs: options.leaseMs,
        pollMs: options.pollMs,
        attemptsMax: ATTEMPTS_MAX,
        backoff: BACKOFF,
      },
      (firing) => onTimeout(firing.payload.orderId),
    );
  }

  async schedule(orderId: string, afterMs: number): Promise<void> {
    await this.timer.schedule({ id: orderId, afterMs, payload: { orderId } });
  }

  async cancel(orderId: string): Promise<void> {
    await this.timer.cancel(orderId);
  }

  async start(): Promise<void> {
    await this.worker.start();
    void this.reconcileAgainAndAgain();
  }

  async stop(graceMs: number): Promise<void> {
    this.stopped.abort();
    await this.worker.stop({ graceMs: Math.floor(graceMs) });
    // A reconcile that is under way finds the timer closed, and ends.
    await this.timer.close();
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
        this.report(await this.timer.reconcile(page.map(wanted), { asOfMs }));
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
