/**
 * PostgreSQL and Redis for one test file, with a client for what the test itself asks of Redis.
 */
import { PostgresServer, RedisServer } from "@holdfast/testkit";
import { Redis } from "ioredis";

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

  async stop(): Promise<void> {
    this.client.disconnect();
    await Promise.all([this.postgres.stop(), this.redis.stop()]);
  }
}
