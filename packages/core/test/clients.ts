/** Clients of a test, closed after it, and what may be left of them. */
import { Redis, type RedisOptions } from "ioredis";
import { afterEach } from "vitest";
import { pollUntil } from "@holdfast/testkit";

/** For a call that has to succeed: a starved machine may stand still for seconds in the middle of it. */
export const patientMs = 30_000;

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
    const settings = { retryStrategy: () => 20, ...options, replyMapping: "legacy" as const };
    const client = new Redis(target.url, settings);
    client.on("error", () => undefined);
    clients.push(client);
    return client;
  };
}

/** Waits until the client has noticed that its connection is gone. */
export async function disconnected(client: { readonly status: string }): Promise<void> {
  await pollUntil("the client has lost its connection", () => client.status !== "ready");
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
