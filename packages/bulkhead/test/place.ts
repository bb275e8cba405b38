/** One server for the tests of a file, empty at the start of each; the clients of a test, and what it opens on them, are closed after it. */
import { RedisServer } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";

interface Closable {
  close(): Promise<unknown>;
}

/** The permits of the bulkhead that all these tests name. */
const podsKey = "holdfast:{bulkhead:payments}:pods";

/** Where the tests of a file take place. */
export interface Place {
  /** How many requests of a process about its permits the server has seen. */
  requests(): Promise<number>;
  /** Lets the lease on permits of one process end on the server, as when its time is over. */
  endLease(holds: (held: number) => boolean): Promise<void>;
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
    async requests() {
      const info = String(await server.call("INFO", "commandstats"));
      return [...info.matchAll(/cmdstat_evalsha:calls=(\d+)/gu)].reduce((sum, match) => sum + Number(match[1]), 0);
    },
    async endLease(holds) {
      const reply = (await server.call("HGETALL", podsKey)) as string[];
      const records = reply.flatMap((pod, index) =>
        index % 2 === 0 ? [{ pod, fields: (reply[index + 1] ?? "").split(" ") }] : [],
      );
      const found = records.filter(({ pod, fields }) => pod !== "#token" && holds(Number(fields[5])));
      if (found.length !== 1) throw new Error(`${found.length} processes hold so many: ${reply.join(", ")}`);
      for (const { pod, fields } of found) await server.call("HSET", podsKey, pod, fields.with(1, "1").join(" "));
    },
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
