/** Clients of a test, closed after it, the server that they talk to, and what may be left of them. */
import { FaultProxy, pollUntil, RedisServer } from "@holdfast/testkit";
import { Redis, type RedisOptions } from "ioredis";
import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";

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
