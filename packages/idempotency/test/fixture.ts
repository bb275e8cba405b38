/** What the tests of this package share: one server per file, clients that are closed, keys that nobody else uses. */
import { FaultProxy, type LeapClock, pollUntil, RedisServer } from "@holdfast/testkit";
import { Redis } from "ioredis";
import type { RedisOptions } from "ioredis";
import { afterAll, afterEach, beforeAll } from "vitest";
import { Idempotency } from "../src/index.ts";
import type { IdempotencyOptions } from "../src/index.ts";

/** A client behind a proxy of its own. */
export interface Proxied {
  readonly proxy: FaultProxy;
  readonly redis: Redis;
}

/** The server of a test file. */
export interface Bench {
  readonly server: RedisServer;
  readonly redis: Redis;
  /** A client of its own, disconnected after the test. */
  client(options?: RedisOptions): Redis;
  /** A client behind a proxy, both closed after the test. */
  proxied(options?: RedisOptions): Promise<Proxied>;
  /** An instance with keys of its own, closed after the test. It takes no answer for lost because the machine stands still. */
  idempotency(options?: IdempotencyOptions, redis?: Redis, name?: string): Idempotency;
  /** Lets the leases of all attempts end on the server, as when their time is over. */
  lapse(): Promise<void>;
}

/** Longer than a machine stands still: what ends a lease of this length is a test. */
export const longLeaseMs = 60_000;
/** The place of a lease's beginning in a record. */
const leasedField = 9;

let names = 0;

/** A name that no other test uses. */
export function uniqueName(): string {
  names += 1;
  return `n${process.pid}-${names}`;
}

/** Starts a server for the tests of a file. */
export function useBench(): Bench {
  let server: RedisServer | undefined;
  let redis: Redis | undefined;
  const ends: (() => unknown)[] = [];
  beforeAll(async () => {
    server = await RedisServer.start();
    redis = new Redis(server.url);
  });
  afterEach(async () => {
    for (const end of ends.splice(0).toReversed()) await end();
    await redis?.flushall();
  });
  afterAll(async () => {
    redis?.disconnect();
    await server?.stop();
  });
  const bench: Bench = {
    get server() {
      if (server === undefined) throw new Error("the server is started before the tests");
      return server;
    },
    get redis() {
      if (redis === undefined) throw new Error("the client is made before the tests");
      return redis;
    },
    client(options = {}) {
      const client = new Redis({
        host: bench.server.host,
        port: bench.server.port,
        ...options,
        replyMapping: "legacy",
      });
      client.on("error", () => undefined);
      ends.push(() => client.disconnect());
      return client;
    },
    async proxied(options = {}) {
      const proxy = await FaultProxy.start(bench.server);
      const client = new Redis({
        host: proxy.host,
        port: proxy.port,
        retryStrategy: () => 20,
        ...options,
        replyMapping: "legacy",
      });
      client.on("error", () => undefined);
      ends.push(async () => {
        client.disconnect();
        await proxy.close();
      });
      await client.ping();
      return { proxy, redis: client };
    },
    idempotency(options = {}, client = bench.redis, name = uniqueName()) {
      const instance = new Idempotency(client, name, { commandTimeoutMs: 60_000, ...options });
      ends.push(() => instance.close());
      return instance;
    },
    async lapse() {
      for (const record of await bench.redis.keys("*:record:*")) {
        const fields = (await bench.redis.get(record))?.split(":") ?? [];
        if (fields[1] !== "running" && fields[1] !== "unknown") continue;
        await bench.redis.set(record, fields.with(leasedField, "1").join(":"), "KEEPTTL");
      }
    },
  };
  return bench;
}

/** Makes what lets time pass until the only attempt of a test has renewed its lease so many times. */
export function renewedBy(bench: Bench): (clock: LeapClock, times: number) => Promise<void> {
  const begins = async (): Promise<string | undefined> => {
    const [record = ""] = await bench.redis.keys("*:record:*");
    return (await bench.redis.get(record))?.split(":")[leasedField];
  };
  return async (clock, times) => {
    for (let renewal = 0; renewal < times; renewal += 1) {
      const before = await begins();
      await pollUntil("the lease is renewed", async () => {
        clock.leap(longLeaseMs / 60);
        return (await begins()) !== before;
      });
    }
  };
}

/** A handler that a test lets go on by hand. */
export interface Gate<Value> {
  readonly entered: Promise<void>;
  readonly handler: () => Promise<Value>;
  open(value: Value): void;
  fail(error: unknown): void;
}

/** Makes a handler that waits for the test. */
export function gate<Value>(): Gate<Value> {
  const entered = Promise.withResolvers<void>();
  const left = Promise.withResolvers<Value>();
  return {
    entered: entered.promise,
    handler: () => {
      entered.resolve();
      return left.promise;
    },
    open: (value) => left.resolve(value),
    fail: (error) => left.reject(error),
  };
}

/** What a promise is rejected with; fails when it resolves. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    (value) => {
      throw new Error(`expected a rejection, got ${JSON.stringify(value)}`);
    },
    (error: unknown) => error,
  );
}

/** Lets some milliseconds of the server's time pass. */
export function pass(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/** Everything that an async iterable gives. */
export async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const list: Item[] = [];
  for await (const item of items) list.push(item);
  return list;
}

/** Resolves when a signal is aborted, also when it has been for long. */
export async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise((resolve) => {
    signal.addEventListener("abort", resolve, { once: true });
  });
}
