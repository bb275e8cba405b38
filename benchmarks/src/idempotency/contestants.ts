/** How each contestant is set up: its best documented settings, and the bare floor. Payload and result are of the same size for all. */
import { setTimeout as delay } from "node:timers/promises";
import { IdempotencyConfig, makeIdempotent } from "@aws-lambda-powertools/idempotency";
import { CachePersistenceLayer } from "@aws-lambda-powertools/idempotency/cache";
import { Idempotency } from "@holdfast/idempotency";
import { Idempotency as NodeIdempotency } from "@node-idempotency/core";
import { RedisStorageAdapter } from "@node-idempotency/storage-adapter-redis";
import { createClient } from "@redis/client";
import { Redis } from "ioredis";
import type { Bench } from "../figure.ts";

/** What a payment asks for. */
export interface Payment {
  readonly order: string;
  readonly amountCents: number;
  readonly currency: string;
}

/** What is stored. */
export interface Charge {
  readonly charge: string;
  readonly state: string;
}

/** One service that charges at most once for a key. */
export interface Service extends AsyncDisposable {
  /** Runs the work, or answers with what it answered before; waits for an attempt that runs. */
  run(key: string, payment: Payment, work: () => Promise<Charge>): Promise<Charge>;
}

/** Opens a service with a connection of its own. */
export type OpenService = (bench: Bench) => Promise<Service>;

/** Peers know no wake-up: a duplicate asks again after so long. Their own defaults are 100 ms, or the caller's. */
const pollMs = 10;

/** The payload that goes with a key. */
export function paymentOf(index: number): Payment {
  return { order: `order-${String(index).padStart(10, "0")}`, amountCents: 12_990, currency: "EUR" };
}

/** Holdfast at its defaults; duplicates wait. */
export const holdfast: OpenService = async ({ host, port }) => {
  const redis = new Redis({ host, port });
  const idempotency = new Idempotency(redis, "payments", { waitMs: 10_000 });
  return {
    run: async (key, payment, work) => {
      const { value } = await idempotency.run({ key, tenant: "acme" }, { fingerprint: payment }, work);
      return value;
    },
    async [Symbol.asyncDispose]() {
      await idempotency.close();
      redis.disconnect();
    },
  };
};

/**
 * With a context: without one concurrent duplicates all run. Without the payload's validation: with it every replay is refused on Redis, since
 * the hash is dropped on completion. Without the local cache, as by default: it answers for its own process, and holds 256 results.
 */
export const powertools: OpenService = async ({ host, port }) => {
  const client = await createClient({ socket: { host, port } }).connect();
  const config = new IdempotencyConfig({ eventKeyJmesPath: "key" });
  const context = { getRemainingTimeInMillis: () => 30_000 };
  config.registerLambdaContext(context as Parameters<IdempotencyConfig["registerLambdaContext"]>[0]);
  const works = new Map<string, () => Promise<Charge>>();
  const charge = makeIdempotent(
    async ({ key }: { readonly key: string; readonly payment: Payment }) => ({ ...(await works.get(key)?.()) }),
    { persistenceStore: new CachePersistenceLayer({ client }), config, keyPrefix: "payments" },
  );
  return {
    async run(key, payment, work) {
      works.set(key, work);
      for (;;) {
        try {
          return (await charge({ key, payment })) as Charge;
        } catch (error) {
          if ((error as Error).name !== "IdempotencyAlreadyInProgressError") throw error;
          await delay(pollMs);
        }
      }
    },
    async [Symbol.asyncDispose]() {
      client.destroy();
    },
  };
};

/** As its middleware for frameworks uses it. */
export const nodeIdempotency: OpenService = async ({ host, port }) => {
  const storage = new RedisStorageAdapter({ socket: { host, port } });
  await storage.connect();
  const idempotency = new NodeIdempotency(storage, {
    inProgressStrategy: { wait: true, pollingIntervalMs: pollMs, maxWaitMs: 10_000 },
  });
  return {
    async run(key, payment, work) {
      const request = {
        method: "POST",
        path: "/payments",
        headers: { "Idempotency-Key": key },
        body: { ...payment },
      };
      const stored = await idempotency.onRequest<Charge, never>(request);
      if (stored?.body !== undefined) return stored.body;
      const body = await work();
      await idempotency.onResponse(request, { body });
      return body;
    },
    [Symbol.asyncDispose]: () => storage.disconnect(),
  };
};

/** Two commands, no fingerprint, no lease, no token; a duplicate of a running attempt polls. */
export const floor: OpenService = async ({ host, port }) => {
  const redis = new Redis({ host, port });
  return {
    async run(key, _payment, work) {
      for (;;) {
        const seen = await redis.set(`idempotency:${key}`, "", "PX", 86_400_000, "NX", "GET");
        if (seen === null) {
          const charge = await work();
          await redis.set(`idempotency:${key}`, JSON.stringify(charge), "PX", 86_400_000);
          return charge;
        }
        if (seen !== "") return JSON.parse(seen) as Charge;
        await delay(pollMs);
      }
    },
    async [Symbol.asyncDispose]() {
      redis.disconnect();
    },
  };
};
