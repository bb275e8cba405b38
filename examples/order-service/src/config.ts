/**
 * Owns what the environment may say: every variable, its range and its default, read once at start. All mistakes are reported together,
 * so that a wrong deployment is corrected in one go.
 */

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
  /** How long a customer has to pay. */
  readonly paymentTimeoutMs: number;
  /** From SIGTERM on: how long the service still takes requests, until every load balancer has noticed that it is not ready. */
  readonly drainDelayMs: number;
  /** From SIGTERM to the end of the process, the drain delay included. Keep it below terminationGracePeriodSeconds. */
  readonly shutdownGraceMs: number;
  /** After how long another replica takes over the timeouts of one that died. */
  readonly leaseMs: number;
  /** The longest time between two looks at the due timers, should every wake-up be lost. */
  readonly pollMs: number;
  /** How often pending orders are compared with the scheduled timeouts. */
  readonly reconcileEveryMs: number;
  /** Younger orders are left out of that comparison: their own request is still about to schedule their timeout. */
  readonly reconcileMinAgeMs: number;
  readonly logLevel: LogLevel;
}

const LOG_LEVELS = ["silent", "error", "warn", "info", "debug"] as const;

/** How much is logged. */
export type LogLevel = (typeof LOG_LEVELS)[number];

const DAY_MS = 86_400_000;

/** The environment does not describe a service that could run. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(["The configuration is not usable:", ...problems.map((problem) => `  ${problem}`)].join("\n"));
    this.problems = problems;
  }
}

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
    paymentTimeoutMs: read.integer("PAYMENT_TIMEOUT_MS", 60_000, 50, DAY_MS),
    drainDelayMs: read.integer("DRAIN_DELAY_MS", 0, 0, 300_000),
    shutdownGraceMs: read.integer("SHUTDOWN_GRACE_MS", 25_000, 100, 3_600_000),
    leaseMs: read.integer("TIMER_LEASE_MS", 15_000, 50, DAY_MS),
    pollMs: read.integer("TIMER_POLL_MS", 1_000, 10, 60_000),
    reconcileEveryMs: read.integer("RECONCILE_EVERY_MS", 30_000, 50, DAY_MS),
    reconcileMinAgeMs: read.integer("RECONCILE_MIN_AGE_MS", 5_000, 0, DAY_MS),
    logLevel: read.oneOf("LOG_LEVEL", LOG_LEVELS, "info"),
  };
  if (config.drainDelayMs >= config.shutdownGraceMs)
    read.problem(
      `DRAIN_DELAY_MS (${config.drainDelayMs}) must be less than SHUTDOWN_GRACE_MS (${config.shutdownGraceMs})`,
    );
  read.finish();
  return config;
}

class Environment {
  private readonly env: Readonly<Record<string, string | undefined>>;
  private readonly problems: string[] = [];

  constructor(env: Readonly<Record<string, string | undefined>>) {
    this.env = env;
  }

  problem(line: string): void {
    this.problems.push(line);
  }

  finish(): void {
    if (this.problems.length > 0) throw new ConfigError(this.problems);
  }

  text(name: string, fallback: string): string {
    return this.get(name) ?? fallback;
  }

  integer(name: string, fallback: number, min: number, max: number): number {
    const raw = this.get(name);
    if (raw === undefined) return fallback;
    const value = /^\d+$/.test(raw) ? Number(raw) : Number.NaN;
    if (value >= min && value <= max) return value;
    this.problem(`${name} must be a whole number from ${min} to ${max}, got ${JSON.stringify(raw)}`);
    return fallback;
  }

  oneOf<const T extends string>(name: string, allowed: readonly T[], fallback: T): T {
    const raw = this.get(name);
    if (raw === undefined) return fallback;
    const found = allowed.find((word) => word === raw);
    if (found !== undefined) return found;
    this.problem(`${name} must be one of ${allowed.join(", ")}, got ${JSON.stringify(raw)}`);
    return fallback;
  }

  /** The value itself is never repeated in a message: it may hold a password. */
  url(name: string, protocols: readonly string[]): string {
    const raw = this.get(name);
    const like = protocols.map((protocol) => `${protocol}//host`).join(" or ");
    if (raw === undefined) {
      this.problem(`${name} is missing; it must look like ${like}`);
      return "";
    }
    const url = URL.canParse(raw) ? new URL(raw) : undefined;
    if (url === undefined || !protocols.includes(url.protocol)) this.problem(`${name} must look like ${like}`);
    return raw;
  }

  /** An empty variable is a variable that was not set: that is how most deployment templates unset one. */
  private get(name: string): string | undefined {
    const raw = this.env[name]?.trim();
    return raw === "" ? undefined : raw;
  }
}
