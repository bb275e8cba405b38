/**
 * Owns the Redis and the PostgreSQL that scenarios run on: private, started when first asked for, shared by all scenarios of one demo,
 * each in a database and under a key prefix of its own.
 */
import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { PostgresServer, RedisServer } from "@holdfast/testkit";
import pg from "pg";

const SCAN_BATCH = 500;

/** The servers of one demo. */
export class StageServers implements AsyncDisposable {
  private readonly externalRedisUrl: string | undefined;
  private readonly run = randomBytes(4).toString("hex");
  private redisStart: Promise<RedisServer> | undefined;
  private postgresStart: Promise<PostgresServer> | undefined;
  private readonly databases = new Map<string, string>();
  private readonly prefixes: string[] = [];

  /** @param externalRedisUrl a Redis that runs already, to use instead of a private one. Only keys under our prefixes are touched. */
  constructor(externalRedisUrl?: string) {
    this.externalRedisUrl = externalRedisUrl;
  }

  /** Redis with an append-only file, as a coordinator of work should have it. */
  redis(): Promise<RedisServer> {
    this.redisStart ??= RedisServer.start(
      this.externalRedisUrl === undefined ? { aof: true } : { url: this.externalRedisUrl },
    );
    return this.redisStart;
  }

  postgres(): Promise<PostgresServer> {
    this.postgresStart ??= PostgresServer.start();
    return this.postgresStart;
  }

  /** Creates an empty database and returns its URL. */
  async database(name: string): Promise<string> {
    const server = await this.postgres();
    const client = new pg.Client({ connectionString: server.url });
    await client.connect();
    try {
      await client.query(`CREATE DATABASE ${pg.escapeIdentifier(name)}`);
    } finally {
      await client.end();
    }
    const url = new URL(server.url);
    url.pathname = `/${name}`;
    this.databases.set(name, url.href);
    return url.href;
  }

  /** A prefix for keys that nobody else uses. */
  prefix(name: string): string {
    const prefix = `${name}-${this.run}`;
    this.prefixes.push(prefix);
    return prefix;
  }

  /** A directory for files that nobody needs afterwards; it goes with the servers, however this process ends. */
  async scratch(name: string): Promise<string> {
    const directory = join((await this.postgres()).directory, `scratch-${name}`);
    await mkdir(directory, { recursive: true });
    return directory;
  }

  /** How to reach what runs, one line each. */
  async addresses(): Promise<string[]> {
    const redis = await this.redisStart;
    return [
      ...(redis === undefined ? [] : [`redis-cli -u ${redis.url}`, ...this.prefixes.map((name) => `  keys ${name}:*`)]),
      ...[...this.databases.values()].map((url) => `psql ${url}`),
    ];
  }

  /** Stops the private servers and removes their data; in a Redis that was there before, removes our keys. */
  async stop(): Promise<void> {
    const [redis, postgres] = await Promise.allSettled([this.redisStart, this.postgresStart]);
    await Promise.all([
      redis.status === "fulfilled" && redis.value !== undefined ? this.leaveRedis(redis.value) : undefined,
      postgres.status === "fulfilled" ? postgres.value?.stop() : undefined,
    ]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  private async leaveRedis(redis: RedisServer): Promise<void> {
    if (this.externalRedisUrl !== undefined) for (const prefix of this.prefixes) await removeKeys(redis, `${prefix}:*`);
    await redis.stop();
  }
}

async function removeKeys(redis: RedisServer, pattern: string): Promise<void> {
  let cursor = "0";
  do {
    const reply = await redis.call("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_BATCH);
    if (!Array.isArray(reply) || !Array.isArray(reply[1])) throw new Error("SCAN answered something else than keys.");
    cursor = String(reply[0]);
    const keys = reply[1].map(String);
    if (keys.length > 0) await redis.call("UNLINK", ...keys);
  } while (cursor !== "0");
}
