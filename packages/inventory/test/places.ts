/** One server and a Cluster, for tests that have to hold on both, and what they ask of the keys themselves. */
import { RedisCluster, RedisServer } from "@holdfast/testkit";
import { Cluster, Redis } from "ioredis";
import { afterAll, beforeAll } from "vitest";
import { bucketKeys } from "../src/keys.ts";
import { Inventory, type InventoryOptions } from "../src/index.ts";
import { patient } from "./clients.ts";

/** A client of one of the two. */
export type Client = Redis | Cluster;

/** Where tests run. */
export interface Place {
  readonly client: Client;
  /** A new inventory that no other test uses. */
  inventory(options?: InventoryOptions): Inventory;
  /** Server time in epoch milliseconds, by the clock of the server that keeps an inventory. */
  nowMs(stock: Inventory): Promise<number>;
  /** A raw command on a key of an inventory. */
  raw(
    command: string,
    stock: Inventory,
    key: keyof ReturnType<typeof bucketKeys>,
    ...args: (string | number)[]
  ): Promise<unknown>;
}

/** The two kinds of place. */
export const kinds = ["one server", "a Cluster"] as const;

let names = 0;

/** Sets a place up for the tests of a describe block. */
export function usePlace(kind: (typeof kinds)[number]): Place {
  let client: Client;
  let stop: () => Promise<void>;
  beforeAll(async () => {
    if (kind === "one server") {
      const server = await RedisServer.start();
      client = new Redis(server.url, { replyMapping: "legacy" });
      stop = () => server.stop();
    } else {
      const cluster = await RedisCluster.start({ replicasPerMaster: 0 });
      client = new Cluster(cluster.addresses, { redisOptions: { replyMapping: "legacy" } });
      stop = () => cluster.stop();
    }
    client.on("error", () => undefined);
  });
  afterAll(async () => {
    client.disconnect();
    await stop();
  });
  return {
    get client() {
      return client;
    },
    inventory: (options = {}) => {
      names += 1;
      return new Inventory(client, `place-${names}`, { ...patient, ...options });
    },
    async nowMs(stock) {
      const { stock: key } = bucketKeys("holdfast", stock.name, 0);
      const time = (await client.eval("return redis.call('TIME')", 1, key)) as [string, string];
      return Number(time[0]) * 1_000 + Number(time[1]) / 1_000;
    },
    raw: (command, stock, key, ...args) =>
      client.call(command, [bucketKeys("holdfast", stock.name, 0)[key], ...args] as string[]),
  };
}

/** Lets all holds of an inventory end, as when their time is over. */
export async function endHolds(place: Place, stock: Inventory): Promise<void> {
  const ids = (await place.raw("ZRANGE", stock, "due", 0, -1)) as string[];
  await place.raw("ZADD", stock, "due", "XX", ...ids.flatMap((id) => [1, id]));
  await place.raw("HSET", stock, "stock", "#next", 1);
}

/** Makes it the turn of the records at rest, as when `rememberMs` is over. */
export async function turnRecords(place: Place, stock: Inventory): Promise<void> {
  const side = String(await place.raw("HGET", stock, "stock", "#side"));
  await place.raw("HSET", stock, "stock", "#side", `${side.slice(0, 1)}1`);
}

/** Waits until the server's clock has passed a time. */
export async function passed(place: Place, stock: Inventory, atMs: number): Promise<void> {
  for (;;) {
    const leftMs = atMs - (await place.nowMs(stock));
    if (leftMs < 0) return;
    await new Promise((resolve) => {
      setTimeout(resolve, leftMs + 1);
    });
  }
}
