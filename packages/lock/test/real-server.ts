/** One private Redis for a test file: clients that are closed, a server that is empty before each test, and no key without an end after it. */
import { RedisServer } from "@holdfast/testkit";
import type { RedisServerOptions } from "@holdfast/testkit";
import { Redis } from "ioredis";
import type { RedisOptions } from "ioredis";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { FencedLock } from "../src/index.ts";
import type { LockEvent, LockOptions } from "../src/index.ts";

/** For calls that have to succeed though a starved machine stands still for seconds in the middle of one. No longer than the usual wait. */
export const patientMs = 10_000;

/** What a test file works with. */
export interface RealServer {
  readonly server: RedisServer;
  /** A client for looking at the data. */
  readonly redis: Redis;
  /** Another client, closed after the test; by default of the server itself, not of a proxy before it. */
  client(options?: RedisOptions, url?: string): Redis;
  /** A lock on a client of its own, closed after the test. Its calls are patient unless it is told otherwise. */
  lock(options?: LockOptions & { readonly redis?: Redis }): FencedLock;
  /** Server time in microseconds. */
  nowUs(): Promise<number>;
}

/** Starts a server for the tests of a file. */
export function useRealServer(options: RedisServerOptions = {}): RealServer {
  let server: RedisServer;
  let redis: Redis;
  const clients: Redis[] = [];
  const locks: FencedLock[] = [];
  beforeAll(async () => {
    server = await RedisServer.start(options);
    redis = new Redis(server.url);
    redis.on("error", () => undefined);
  });
  afterEach(async () => {
    await Promise.all(locks.splice(0).map((lock) => lock.close()));
    for (const client of clients.splice(0)) client.disconnect();
    expect(await keysWithoutEnd(redis)).toEqual([]);
    await redis.flushall();
  });
  afterAll(async () => {
    redis.disconnect();
    await server.stop();
  });
  const real: RealServer = {
    get server() {
      return server;
    },
    get redis() {
      return redis;
    },
    client: (options = {}, url = server.url) => {
      const client = new Redis(url, { ...options, replyMapping: "legacy" });
      client.on("error", () => undefined);
      clients.push(client);
      return client;
    },
    lock: ({ redis: own, ...more } = {}) => {
      const lock = new FencedLock(own ?? real.client(), { commandTimeoutMs: patientMs, ...more });
      locks.push(lock);
      return lock;
    },
    nowUs: async () => {
      const [seconds, microseconds] = await redis.time();
      return Number(seconds) * 1_000_000 + Number(microseconds);
    },
  };
  return real;
}

/** Keys of ours that would stay for ever. The user's own keys are named `user…`. */
export async function keysWithoutEnd(redis: Redis): Promise<string[]> {
  const keys = (await redis.keys("*")).filter((key) => !/^\{?user/u.test(key));
  const ends = await Promise.all(keys.map((key) => redis.pttl(key)));
  return keys.filter((_, index) => ends[index] === -1);
}

/** Collects events. */
export function eventLog(): { readonly events: LockEvent[]; onEvent: (event: LockEvent) => void } {
  const events: LockEvent[] = [];
  return { events, onEvent: (event) => events.push(event) };
}
