/**
 * PostgreSQL and Redis for one test file, with a client for what the test itself asks of Redis.
 */
import { PostgresServer, RedisServer } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { TestDatabase } from "./database.ts";

/** The servers of one test file. */
export class TestServers {
  readonly postgres: PostgresServer;
  readonly redis: RedisServer;
  readonly client: Redis;

  private constructor(postgres: PostgresServer, redis: RedisServer) {
    this.postgres = postgres;
    this.redis = redis;
    this.client = new Redis(redis.url);
  }

  static async start(): Promise<TestServers> {
    return new TestServers(...(await Promise.all([PostgresServer.start(), RedisServer.start()])));
  }

  /** An empty database. */
  database(): Promise<TestDatabase> {
    return TestDatabase.create(this.postgres);
  }

  /** Where a service finds this database, and keys of its own in Redis. */
  env({ url, name }: TestDatabase): Record<"DATABASE_URL" | "REDIS_URL" | "REDIS_PREFIX", string> {
    return { DATABASE_URL: url, REDIS_URL: this.redis.url, REDIS_PREFIX: name };
  }

  async stop(): Promise<void> {
    this.client.disconnect();
    await Promise.all([this.postgres.stop(), this.redis.stop()]);
  }
}
