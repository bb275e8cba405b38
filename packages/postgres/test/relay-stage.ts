/** What the tests of the outbox share: PostgreSQL, Redis, a timer for each test, and relays that are stopped after it. */
import { pollUntil, RedisServer } from "@holdfast/testkit";
import { DurableTimer } from "@holdfast/timer";
import { Redis } from "ioredis";
import type { Pool } from "pg";
import { outbox, type OutboxRelay, type OutboxTimer, type PoolLike, type RelayOptions } from "../src/index.ts";
import { Database } from "./database.ts";

export interface Payload {
  readonly order: string;
}

let timers = 0;

/** The stage of one test file. */
export class RelayStage {
  readonly database: Database;
  readonly redisServer: RedisServer;
  readonly redis: Redis;
  timer: DurableTimer<Payload>;
  readonly #relays: OutboxRelay<Payload>[] = [];

  private constructor(database: Database, redisServer: RedisServer) {
    this.database = database;
    this.redisServer = redisServer;
    this.redis = new Redis(redisServer.port, redisServer.host);
    this.redis.on("error", () => undefined);
    this.timer = this.nextTimer();
  }

  static async start(): Promise<RelayStage> {
    return new RelayStage(...(await Promise.all([Database.start(), RedisServer.start()])));
  }

  get pool(): Pool {
    return this.database.pool;
  }

  /** A timer that no other test has. */
  nextTimer(): DurableTimer<Payload> {
    timers += 1;
    // It takes no answer for lost because the machine stands still.
    this.timer = new DurableTimer(this.redis, `timer-${timers}`, { commandTimeoutMs: 60_000 });
    return this.timer;
  }

  /** Starts a relay that is stopped with the test. */
  async relay(
    options: RelayOptions = {},
    to: OutboxTimer<Payload> = this.timer,
    pool: PoolLike = this.pool,
  ): Promise<OutboxRelay<Payload>> {
    const made = outbox.relay(pool, to, { pollMs: 10, ...options });
    this.#relays.push(made);
    await made.start();
    return made;
  }

  schedule(id: string, afterMs = 60_000): Promise<void> {
    return outbox.schedule(this.pool, this.timer, { id, afterMs, payload: { order: id } });
  }

  drained(): Promise<unknown> {
    return pollUntil("the outbox is empty", async () => (await outbox.status(this.pool, this.timer)).pending === 0);
  }

  /** A timer of the same name that keeps what it was told, in order. */
  recorder(): OutboxTimer<Payload> & { readonly told: string[] } {
    const told: string[] = [];
    return {
      name: this.timer.name,
      told,
      schedule: async ({ id, payload }) => told.push(`schedule ${id} ${payload.order}`),
      cancel: async (id) => told.push(`cancel ${id}`),
    };
  }

  /** Ends what the test has begun. */
  async clear(): Promise<void> {
    await Promise.all(this.#relays.splice(0).map((relay) => relay.stop()));
    await this.timer.close();
  }

  async stop(): Promise<void> {
    this.redis.disconnect();
    await Promise.all([this.database.stop(), this.redisServer.stop()]);
  }
}
