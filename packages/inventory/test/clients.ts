/** Clients of a test, closed after it, the server that they talk to, and what may be left of them. */
import { FaultProxy, pollUntil, RedisServer } from "@holdfast/testkit";
import { Redis, type RedisOptions } from "ioredis";
import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";
import { Inventory } from "../src/index.ts";
import { bucketKeys } from "../src/keys.ts";
import { checkId } from "../src/order.ts";

/** A machine that stands still loses no answer; for all tests that are not about lost ones. */
export const patient = { commandTimeoutMs: 60_000 };

/** Two of the inventory `shop` on one connection, which knows the server's time: one that waits for answers, one that gives up soon. */
export function patientAndNot(client: Redis): readonly [Inventory, Inventory] {
  return [new Inventory(client, "shop", patient), new Inventory(client, "shop", { commandTimeoutMs: 1_000 })];
}

interface Target {
  readonly url: string;
}

/** Opens clients that are closed after each test of the file. */
export function openClients(): (target: Target, options?: RedisOptions) => Redis {
  const clients: Redis[] = [];
  afterEach(() => {
    for (const client of clients.splice(0)) client.disconnect();
  });
  return (target, options = {}) => {
    const client = new Redis(target.url, { retryStrategy: () => 20, ...options, replyMapping: "legacy" as const });
    client.on("error", () => undefined);
    clients.push(client);
    return client;
  };
}

/** One server for the tests of the file, empty at the start of each, with a proxy in front that is the test's own. */
export function proxiedServer(): { readonly server: RedisServer; readonly proxy: FaultProxy } {
  let server: RedisServer;
  let proxy: FaultProxy;
  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    await server.call("FLUSHALL");
    proxy = await FaultProxy.start(server);
  });
  afterEach(() => proxy.close());
  return {
    get server() {
      return server;
    },
    get proxy() {
      return proxy;
    },
  };
}

interface Server {
  call(...args: (string | number)[]): Promise<unknown>;
}

/** Lets holds of an inventory end, all or some, as when their time is over. */
export async function endHolds(server: Server, some?: readonly string[], name = "shop"): Promise<void> {
  const { due, stock } = bucketKeys("holdfast", name, 0);
  const words = some?.map((id) => checkId("reservationId", id).word);
  const ids = words ?? ((await server.call("ZRANGE", due, 0, -1)) as string[]);
  for (const id of ids) await server.call("ZADD", due, "XX", 1, id);
  await server.call("HSET", stock, "#next", 1);
}

/** Makes it the turn of the records at rest, as when `rememberMs` is over. */
export async function turnRecords(server: Server, name = "shop", bucket = 0): Promise<void> {
  const { stock } = bucketKeys("holdfast", name, bucket);
  const side = await server.call("HGET", stock, "#side");
  if (typeof side === "string") await server.call("HSET", stock, "#side", `${side.slice(0, 1)}1`);
}

/** What a promise is rejected with. */
export async function failure(promise: Promise<unknown>): Promise<Error> {
  try {
    const value = await promise;
    throw new TypeError(`resolved with ${JSON.stringify(value)}`);
  } catch (error) {
    return error as Error;
  }
}

/** Server time in epoch milliseconds. */
export async function serverMs(server: { call(...args: string[]): Promise<unknown> }): Promise<number> {
  const [seconds, microseconds] = (await server.call("TIME")) as [string, string];
  return Number(seconds) * 1_000 + Number(microseconds) / 1_000;
}

/** Waits until the server's clock has passed a time. */
export async function passed(server: { call(...args: string[]): Promise<unknown> }, atMs: number): Promise<void> {
  await pollUntil("the time has passed", async () => (await serverMs(server)) > atMs);
}
