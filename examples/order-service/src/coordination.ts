/**
 * Owns what TIMEOUTS=durable adds to the service: everything that several replicas do together, through Redis, and what of it is opened and
 * closed in which order.
 */
import { Idempotency } from "@holdfast/idempotency";
import { FencedLock } from "@holdfast/lock";
import { migrate } from "@holdfast/postgres";
import { Redis } from "ioredis";
import type { Pool } from "pg";
import type { CommittedTimerOptions } from "./committed-timer.ts";
import type { Config } from "./config.ts";
import { DurableTimeouts } from "./durable-timeouts.ts";
import { FollowUps } from "./follow-ups.ts";
import { Jobs } from "./jobs.ts";
import { pendingPages } from "./orders.ts";
import { PaymentProvider } from "./payment-provider.ts";
import type { Log, OnTimeout } from "./payment-timeouts.ts";
import { Settlement } from "./settlement.ts";
import { Stock } from "./stock.ts";

/** One replica's part in what all of them do. */
export class Coordination {
  readonly idempotency: Idempotency;
  readonly timeouts: DurableTimeouts;
  readonly provider: PaymentProvider | undefined;
  readonly stock: Stock | undefined;
  readonly followUps: FollowUps | undefined;
  private readonly redis: Redis;
  private readonly pool: Pool;
  private readonly lock: FencedLock;
  private readonly jobs: Jobs;

  constructor(config: Config, pool: Pool, log: Log, onTimeout: OnTimeout) {
    const { redisPrefix: prefix, redisTimeoutMs: commandTimeoutMs, leaseMs, pollMs, outboxLagMaxMs } = config;
    const common = { prefix, commandTimeoutMs };
    this.pool = pool;
    this.redis = new Redis(config.redisUrl);
    this.redis.on("error", (error) => log.warn({ err: error }, "the connection to Redis failed"));
    this.idempotency = new Idempotency(this.redis, "orders", { ...common, leaseMs });
    this.lock = new FencedLock(this.redis, { ...common, ttlMs: leaseMs });
    this.provider = config.provider && new PaymentProvider(config.provider);
    const { stock, paymentTimeoutMs } = config;
    this.stock = stock && new Stock(this.redis, pool, { ...stock, ...common, paymentTimeoutMs });
    const timerOptions: CommittedTimerOptions = { ...common, leaseMs, pollMs, outboxLagMaxMs };
    this.timeouts = new DurableTimeouts(
      this.redis,
      pool,
      () => pendingPages(pool, config.reconcileMinAgeMs),
      onTimeout,
      log,
      { ...timerOptions, reconcileEveryMs: config.reconcileEveryMs },
    );
    if (this.provider !== undefined || this.stock !== undefined)
      this.followUps = new FollowUps(
        this.redis,
        pool,
        { provider: this.provider, stock: this.stock },
        log,
        timerOptions,
      );
    const settlement = new Settlement(pool, this.lock, this.provider);
    this.jobs = new Jobs(this.redis, pool, { settlement, stock: this.stock }, log, {
      ...common,
      leaseMs,
      pollMs,
      version: config.jobsVersion,
      settlementCron: config.settlementCron,
      ledgerEveryMs: config.stock?.ledgerEveryMs,
    });
  }

  /** What must be well for this replica to get traffic, by name. */
  checks(): Record<string, () => Promise<unknown>> {
    const { followUps } = this;
    return {
      redis: () => this.redis.ping(),
      timeouts: () => this.timeouts.check(),
      ...(followUps === undefined ? {} : { followUps: () => followUps.check() }),
    };
  }

  async start(): Promise<void> {
    await migrate(this.pool);
    await this.timeouts.start();
    await this.followUps?.start();
    await this.jobs.start();
  }

  /** Whatever works is stopped together; then what it worked with. */
  async stop(remainingMs: () => number): Promise<void> {
    const graceMs = remainingMs();
    await Promise.all([this.timeouts.stop(graceMs), this.followUps?.stop(graceMs), this.jobs.stop(graceMs)]);
    await this.provider?.stop(remainingMs());
    await this.idempotency.close();
    await this.lock.close();
    this.redis.disconnect();
  }
}
