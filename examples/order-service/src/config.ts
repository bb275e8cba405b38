/**
 * Owns what the environment may say: every variable, its range and its default, read once at start.
 */
import { Environment } from "./environment.ts";
import { HOLD_LONGER_MS } from "./stock.ts";

/** Where the payment timeouts live. */
export type TimeoutsKind = "memory" | "durable";

/** Everything the service can be told. */
export interface Config {
  readonly host: string;
  /** 0 takes a free port; the `listening` line of the log says which. */
  readonly port: number;
  readonly databaseUrl: string;
  readonly timeouts: TimeoutsKind;
  /** Empty with `timeouts: "memory"`, which needs no Redis. */
  readonly redisUrl: string;
  readonly redisPrefix: string;
  /** How long one command may take; after that it is not known what became of it. */
  readonly redisTimeoutMs: number;
  /** How long a customer has to pay. */
  readonly paymentTimeoutMs: number;
  /** From SIGTERM on: how long the service still takes requests, until every load balancer has noticed that it is not ready. */
  readonly drainDelayMs: number;
  /** From SIGTERM to the end of the process, the drain delay included. Keep it below terminationGracePeriodSeconds. */
  readonly shutdownGraceMs: number;
  /** After how long another replica takes over what one that died had begun: timeouts, keys, jobs, locks. */
  readonly leaseMs: number;
  /** The longest time between two looks at the due timers, should every wake-up be lost. */
  readonly pollMs: number;
  /** How often pending orders are compared with the scheduled timeouts. */
  readonly reconcileEveryMs: number;
  /** Younger orders are left out of that comparison: their own request is still about to schedule their timeout. */
  readonly reconcileMinAgeMs: number;
  /** The age of a row of the outbox from which on the replica is not ready. */
  readonly outboxLagMaxMs: number;
  /** Undefined: payments are taken on trust, nobody is charged. */
  readonly provider: ProviderConfig | undefined;
  /** Undefined: orders have no lines, and no stock is kept. */
  readonly stock: StockConfig | undefined;
  /** When paid orders are settled, in UTC; undefined: never. */
  readonly settlementCron: string | undefined;
  /** To be raised with every change of the jobs' times. */
  readonly jobsVersion: number;
  readonly logLevel: LogLevel;
}

/** The payment provider. */
export interface ProviderConfig {
  readonly url: string;
  /** Calls in flight, of one replica. */
  readonly concurrencyMax: number;
  /** Calls that may wait for one of those to end; any more are refused at once. */
  readonly queueMax: number;
  /** For one call, waiting for a permit included. */
  readonly timeoutMs: number;
}

/** The stock that orders take from. */
export interface StockConfig {
  /** Name of the inventory. */
  readonly name: string;
  /** How often its movements are brought to the ledger in PostgreSQL. */
  readonly ledgerEveryMs: number;
}

const LOG_LEVELS = ["silent", "error", "warn", "info", "debug"] as const;

/** How much is logged. */
export type LogLevel = (typeof LOG_LEVELS)[number];

const DAY_MS = 86_400_000;

/**
 * Reads the configuration.
 *
 * @throws ConfigError with one line for each variable that is missing or wrong.
 */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const read = new Environment(env);
  const timeouts = read.oneOf("TIMEOUTS", ["memory", "durable"], "durable");
  const config: Config = {
    host: read.text("HOST", "0.0.0.0"),
    port: read.integer("PORT", 8080, 0, 65_535),
    databaseUrl: read.url("DATABASE_URL", ["postgres:", "postgresql:"]),
    timeouts,
    redisUrl: timeouts === "memory" ? "" : read.url("REDIS_URL", ["redis:", "rediss:"]),
    redisPrefix: read.text("REDIS_PREFIX", "holdfast"),
    redisTimeoutMs: read.integer("REDIS_TIMEOUT_MS", 2_000, 10, 600_000),
    paymentTimeoutMs: read.integer("PAYMENT_TIMEOUT_MS", 60_000, 50, DAY_MS),
    drainDelayMs: read.integer("DRAIN_DELAY_MS", 0, 0, 300_000),
    shutdownGraceMs: read.integer("SHUTDOWN_GRACE_MS", 25_000, 100, 3_600_000),
    leaseMs: read.integer("TIMER_LEASE_MS", 15_000, 50, DAY_MS),
    pollMs: read.integer("TIMER_POLL_MS", 1_000, 10, 60_000),
    reconcileEveryMs: read.integer("RECONCILE_EVERY_MS", 30_000, 50, DAY_MS),
    reconcileMinAgeMs: read.integer("RECONCILE_MIN_AGE_MS", 5_000, 0, DAY_MS),
    outboxLagMaxMs: read.integer("OUTBOX_LAG_MAX_MS", 60_000, 100, DAY_MS),
    ...readExtras(read, timeouts),
    jobsVersion: read.integer("JOBS_VERSION", 1, 1, 1_000_000),
    logLevel: read.oneOf("LOG_LEVEL", LOG_LEVELS, "info"),
  };
  if (config.drainDelayMs >= config.shutdownGraceMs)
    read.problem(
      `DRAIN_DELAY_MS (${config.drainDelayMs}) must be less than SHUTDOWN_GRACE_MS (${config.shutdownGraceMs})`,
    );
  // No hold is longer than a day.
  if (config.stock !== undefined && config.paymentTimeoutMs > DAY_MS - HOLD_LONGER_MS)
    read.problem(
      `PAYMENT_TIMEOUT_MS (${config.paymentTimeoutMs}) must be at most ${DAY_MS - HOLD_LONGER_MS} with STOCK_NAME`,
    );
  read.finish();
  return config;
}

/** What needs Redis, and is off where it is not configured. */
function readExtras(read: Environment, timeouts: TimeoutsKind): Pick<Config, "provider" | "stock" | "settlementCron"> {
  if (timeouts === "memory") {
    for (const name of ["PAYMENT_PROVIDER_URL", "STOCK_NAME", "SETTLEMENT_CRON"])
      if (read.has(name)) read.problem(`${name} needs TIMEOUTS=durable`);
    return { provider: undefined, stock: undefined, settlementCron: undefined };
  }
  const cron = read.text("SETTLEMENT_CRON", "15 2 * * *");
  return {
    provider: read.has("PAYMENT_PROVIDER_URL")
      ? {
          url: read.url("PAYMENT_PROVIDER_URL", ["http:", "https:"]),
          concurrencyMax: read.integer("PAYMENT_PROVIDER_CONCURRENCY_MAX", 16, 1, 10_000),
          queueMax: read.integer("PAYMENT_PROVIDER_QUEUE_MAX", 100, 0, 10_000),
          timeoutMs: read.integer("PAYMENT_PROVIDER_TIMEOUT_MS", 5_000, 10, 60_000),
        }
      : undefined,
    stock: read.has("STOCK_NAME")
      ? {
          name: read.text("STOCK_NAME", ""),
          ledgerEveryMs: read.integer("STOCK_LEDGER_EVERY_MS", 5_000, 50, DAY_MS),
        }
      : undefined,
    settlementCron: cron === "off" ? undefined : cron,
  };
}
