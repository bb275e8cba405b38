/** One server for the tests of a file, empty at the start of each; the clients of a test, and what it opens on them, are closed after it. */
import { RedisServer } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";

interface Closable {
  close(): Promise<unknown>;
}

/** Where the tests of a file take place. */
export interface Place {
  readonly server: RedisServer;
  /** Those of the running test, in the order in which they were opened. */
  readonly clients: readonly Redis[];
  client(url?: string): Redis;
  /** Closes it after the test. */
  closing<One extends Closable>(one: One): One;
}

/** Starts the server before the tests of the file. */
export function testPlace(): Place {
  let server: RedisServer;
  const clients: Redis[] = [];
  const opened: Closable[] = [];
  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    await server.call("FLUSHALL");
  });
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((one) => one.close()));
    for (const client of clients.splice(0)) client.disconnect();
  });
  return {
    get server() {
      return server;
    },
    clients,
    client(url = server.url) {
      const redis = new Redis(url, { maxRetriesPerRequest: null });
      redis.on("error", () => undefined);
      clients.push(redis);
      return redis;
    },
    closing(one) {
      opened.push(one);
      return one;
    },
  };
}
