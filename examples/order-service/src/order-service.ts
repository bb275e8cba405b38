/**
 * Owns the life of one replica: what is opened in which order, and what SIGTERM means. Listening comes first, so that the probes are
 * answered while the rest starts; on the way out the order is reversed.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { fastify, LogController, type FastifyInstance } from "fastify";
import { Redis } from "ioredis";
import pg from "pg";
import type { Config } from "./config.ts";
import { DurableTimeouts } from "./durable-timeouts.ts";
import { MemoryTimeouts } from "./memory-timeouts.ts";
import { migrate } from "./migrations.ts";
import { Orders } from "./orders.ts";
import type { OnTimeout, PaymentTimeouts } from "./payment-timeouts.ts";
import { Readiness } from "./readiness.ts";
import { addRoutes } from "./routes.ts";

const POOL_MAX = 10;
const DATABASE_TIMEOUT_MS = 10_000;

/** One running replica. */
export class OrderService {
  private readonly config: Config;
  private readonly app: FastifyInstance;
  private readonly pool: pg.Pool;
  private readonly redis: Redis | undefined;
  private readonly timeouts: PaymentTimeouts;
  private readonly readiness: Readiness;

  private constructor(config: Config) {
    this.config = config;
    this.app = fastify({
      logger: { level: config.logLevel },
      logController: new LogController({ disableRequestLogging: true }),
      // What is not a number is not an amount: "1", true and null are refused, not converted.
      ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
    });
    this.pool = new pg.Pool({
      connectionString: config.databaseUrl,
      max: POOL_MAX,
      connectionTimeoutMillis: DATABASE_TIMEOUT_MS,
      query_timeout: DATABASE_TIMEOUT_MS,
      statement_timeout: DATABASE_TIMEOUT_MS,
    });
    this.pool.on("error", (error) => this.app.log.warn({ err: error }, "an idle database connection was lost"));
    this.redis = config.timeouts === "durable" ? this.connectRedis() : undefined;
    const orders = new Orders(this.pool);
    const { redis } = this;
    this.readiness = new Readiness({
      database: () => orders.ping(),
      ...(redis === undefined ? {} : { redis: () => redis.ping() }),
    });
    this.timeouts = this.createTimeouts(orders);
    addRoutes(this.app, {
      orders,
      timeouts: this.timeouts,
      readiness: this.readiness,
      paymentTimeoutMs: config.paymentTimeoutMs,
    });
  }

  /**
   * Starts a replica. Resolves when it is ready for traffic.
   *
   * @throws Error when the port is taken, or the database or Redis cannot be reached; nothing stays open then.
   */
  static async start(config: Config): Promise<OrderService> {
    const service = new OrderService(config);
    try {
      await service.app.listen({ host: config.host, port: config.port });
      await migrate(config.databaseUrl);
      await service.timeouts.start();
    } catch (error) {
      await service.close(0);
      throw error;
    }
    service.readiness.phase = "ready";
    service.app.log.info({ timeouts: config.timeouts, paymentTimeoutMs: config.paymentTimeoutMs }, "ready");
    return service;
  }

  /** The port it listens on. */
  get port(): number {
    const address = this.app.server.address();
    if (address === null || typeof address === "string") throw new Error("The service does not listen on a port.");
    return address.port;
  }

  /** Stops as a rolling deployment asks for it, within `shutdownGraceMs`. */
  async stop(): Promise<void> {
    const endMs = performance.now() + this.config.shutdownGraceMs;
    this.readiness.phase = "draining";
    this.app.log.info("draining");
    await sleep(this.config.drainDelayMs);
    await this.close(endMs - performance.now());
    this.app.log.info("stopped");
  }

  /** Requests before timeouts, since a request schedules one; both before the connections that they use. */
  private async close(graceMs: number): Promise<void> {
    const endMs = performance.now() + graceMs;
    const remainingMs = (): number => Math.max(0, endMs - performance.now());
    await within(remainingMs(), this.app.close());
    await this.timeouts.stop(remainingMs());
    this.redis?.disconnect();
    await within(remainingMs(), this.pool.end());
  }

  private connectRedis(): Redis {
    const redis = new Redis(this.config.redisUrl);
    redis.on("error", (error) => this.app.log.warn({ err: error }, "the connection to Redis failed"));
    return redis;
  }

  private createTimeouts(orders: Orders): PaymentTimeouts {
    const { config, redis } = this;
    const { log } = this.app;
    const onTimeout: OnTimeout = async (orderId) => {
      await orders.timeOut(orderId);
    };
    if (redis === undefined) return new MemoryTimeouts(onTimeout, log);
    return new DurableTimeouts(redis, () => orders.pendingPages(config.reconcileMinAgeMs), onTimeout, log, {
      prefix: config.redisPrefix,
      leaseMs: config.leaseMs,
      pollMs: config.pollMs,
      reconcileEveryMs: config.reconcileEveryMs,
    });
  }
}

/** Waits for something that cannot be given up, at most this long. */
async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const settled = new AbortController();
  const limit = sleep(ms, undefined, { signal: settled.signal }).catch(() => undefined);
  await Promise.race([work, limit]);
  settled.abort();
}
