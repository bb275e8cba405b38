/**
 * Owns the life of one replica: what is opened in which order, and what SIGTERM means. Listening comes first, so that the probes are
 * answered while the rest starts; on the way out the order is reversed.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { fastify, LogController, type FastifyInstance } from "fastify";
import pg from "pg";
import { Checkout } from "./checkout.ts";
import type { Config } from "./config.ts";
import { Coordination } from "./coordination.ts";
import { MemoryTimeouts } from "./memory-timeouts.ts";
import { migrate } from "./migrations.ts";
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
  /** Undefined with timeouts in memory. */
  private readonly coordination: Coordination | undefined;
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
    // While somebody has a connection its end fails their statement; without a listener it would end the process as well.
    this.pool.on("connect", (client) => client.on("error", () => undefined));
    const onTimeout: OnTimeout = (orderId, firing) => checkout.timeOut(orderId, firing);
    if (config.timeouts === "durable") this.coordination = new Coordination(config, this.pool, this.app.log, onTimeout);
    const { coordination } = this;
    this.timeouts = coordination?.timeouts ?? new MemoryTimeouts(onTimeout, this.app.log);
    const checkout = new Checkout(this.pool, config.paymentTimeoutMs, {
      timeouts: this.timeouts,
      provider: coordination?.provider,
      stock: coordination?.stock,
      followUps: coordination?.followUps,
    });
    this.readiness = new Readiness({ database: () => this.pool.query("SELECT 1"), ...coordination?.checks() });
    addRoutes(this.app, {
      checkout,
      readiness: this.readiness,
      idempotency: coordination?.idempotency,
      takesLines: config.stock !== undefined,
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
      await (service.coordination ?? service.timeouts).start();
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

  /** Requests before what works in the background, since they give it work; both before the connections that they use. */
  private async close(graceMs: number): Promise<void> {
    const endMs = performance.now() + graceMs;
    const remainingMs = (): number => Math.max(0, endMs - performance.now());
    await within(remainingMs(), this.app.close());
    if (this.coordination === undefined) await this.timeouts.stop(remainingMs());
    else await this.coordination.stop(remainingMs);
    await within(remainingMs(), this.pool.end());
  }
}

/** Waits for something that cannot be given up, at most this long. */
async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const settled = new AbortController();
  const limit = sleep(ms, undefined, { signal: settled.signal }).catch(() => undefined);
  await Promise.race([work, limit]);
  settled.abort();
}
