import { AttemptSupersededError, Idempotency, type Attempt } from "@holdfast/idempotency";
import { migrate as migrateHoldfast, StaleTokenError } from "@holdfast/postgres";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Checkout } from "../src/checkout.ts";
import { MemoryTimeouts } from "../src/memory-timeouts.ts";
import { migrate } from "../src/migrations.ts";
import { PaymentProvider } from "../src/payment-provider.ts";
import type { Log } from "../src/payment-timeouts.ts";
import type { TestDatabase } from "./database.ts";
import { TestProvider } from "./provider.ts";
import { TestServers } from "./servers.ts";

const SILENT: Log = { info: () => undefined, warn: () => undefined, error: () => undefined };

let servers: TestServers;
let database: TestDatabase;
beforeAll(async () => {
  servers = await TestServers.start();
  database = await servers.database();
  await migrate(database.url);
  await migrateHoldfast(database.pool);
});
afterAll(async () => {
  await database[Symbol.asyncDispose]();
  await servers.stop();
});

let provider: TestProvider;
let timeouts: MemoryTimeouts;
let checkout: Checkout;
beforeEach(async () => {
  provider = await TestProvider.start();
  timeouts = new MemoryTimeouts(() => Promise.resolve(), SILENT);
  checkout = new Checkout(database.pool, 60_000, {
    timeouts,
    provider: new PaymentProvider({ url: provider.url, concurrencyMax: 4, queueMax: 100, timeoutMs: 60_000 }),
    stock: undefined,
    followUps: undefined,
  });
});
afterEach(async () => {
  await timeouts.stop(0);
  await provider[Symbol.asyncDispose]();
});

async function place(): Promise<string> {
  const placed = await checkout.place({ amountCents: 100, lines: [] }, null);
  return placed.kind === "placed" ? placed.order.id : "";
}

type Work = (attempt: Attempt) => Promise<unknown>;

/** Two attempts under one key: the first begins its work when the second one has ended. Resolves to what became of the first one's work. */
async function overtaken(key: string, first: Work, second: Work): Promise<unknown> {
  const idempotency = new Idempotency(servers.client, "checkout", { leaseMs: 60_000, commandTimeoutMs: 60_000 });
  const begun = Promise.withResolvers<undefined>();
  const over = Promise.withResolvers<undefined>();
  let outcome: unknown;
  const run = idempotency.run(key, async (attempt) => {
    begun.resolve(undefined);
    await over.promise;
    outcome = await first(attempt).catch((error: unknown) => error);
  });
  await begun.promise;
  await idempotency.forget(key);
  await idempotency.run(key, second);
  over.resolve(undefined);
  await expect(run).rejects.toBeInstanceOf(AttemptSupersededError);
  return outcome;
}

describe("a payment whose attempt was overtaken by one that was declined", () => {
  it("is refused before the provider is asked: who heard no is not charged", async () => {
    const id = await place();
    const declined = async (attempt: Attempt): Promise<void> => {
      provider.declines = true;
      expect(await checkout.pay(id, attempt)).toEqual({ kind: "declined" });
      provider.declines = false;
    };
    const outcome = await overtaken("fenced", (attempt) => checkout.pay(id, attempt), declined);
    expect(outcome).toBeInstanceOf(StaleTokenError);
    expect(provider.takenFor(id)).toBe(0);
    expect(await database.statusOf(id)).toBe("PENDING_PAYMENT");
  });

  it("counter-test: is charged when it is not fenced", async () => {
    const id = await place();
    const declined = async (attempt: Attempt): Promise<void> => {
      provider.declines = true;
      await checkout.pay(id, attempt);
      provider.declines = false;
    };
    const outcome = await overtaken("unfenced", () => checkout.pay(id, null), declined);
    expect(outcome).toEqual({ kind: "paid" });
    expect(provider.takenFor(id)).toBe(1);
  });
});

describe("an order whose attempt was overtaken", () => {
  it("is the one that the later attempt has placed", async () => {
    const wanted = { amountCents: 100, lines: [] };
    let later = "";
    const outcome = await overtaken(
      "place",
      (attempt) => checkout.place(wanted, attempt),
      async (attempt) => {
        const placed = await checkout.place(wanted, attempt);
        if (placed.kind === "placed") later = placed.order.id;
      },
    );
    expect(outcome).toBeInstanceOf(StaleTokenError);
    expect(await database.history(later)).toEqual(["placed"]);
  });
});

describe("an order with lines", () => {
  it("is neither paid nor timed out by a replica without a stock: its units would be neither taken nor released", async () => {
    const placed = await checkout.place({ amountCents: 100, lines: [{ sku: "mug", quantity: 1 }] }, null);
    const id = placed.kind === "placed" ? placed.order.id : "";
    await expect(checkout.pay(id, null)).rejects.toThrow("this replica has none");
    await expect(checkout.timeOut(id, null)).rejects.toThrow("this replica has none");
    expect(await database.statusOf(id)).toBe("PENDING_PAYMENT");
  });
});
