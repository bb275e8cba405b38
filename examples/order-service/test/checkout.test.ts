import { randomUUID } from "node:crypto";
import { AttemptSupersededError, FingerprintMismatchError, Idempotency, type Attempt } from "@holdfast/idempotency";
import { Inventory } from "@holdfast/inventory";
import { migrate as migrateHoldfast, StaleTokenError } from "@holdfast/postgres";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Pool } from "pg";
import { Checkout, type Paid, type Placed } from "../src/checkout.ts";
import { MemoryTimeouts } from "../src/memory-timeouts.ts";
import { migrate } from "../src/migrations.ts";
import { PaymentProvider } from "../src/payment-provider.ts";
import type { Log } from "../src/payment-timeouts.ts";
import { Stock } from "../src/stock.ts";
import type { TestDatabase } from "./database.ts";
import { TestProvider } from "./provider.ts";
import { TestServers } from "./servers.ts";

const SILENT: Log = { info: () => undefined, warn: () => undefined, error: () => undefined };

const PAYMENT_TIMEOUT_MS = 60_000;

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
/** The next so many transactions find no connection. */
let away: number;
beforeEach(async () => {
  provider = await TestProvider.start();
  timeouts = new MemoryTimeouts(() => Promise.resolve(), SILENT);
  away = 0;
  checkout = checkoutWith(undefined);
});
afterEach(async () => {
  await timeouts.stop(0);
  await provider[Symbol.asyncDispose]();
});

function checkoutWith(stock: Stock | undefined): Checkout {
  const { pool } = database;
  const connect = (): Promise<unknown> => {
    if (away === 0) return pool.connect();
    away -= 1;
    return Promise.reject(new Error("timeout exceeded when trying to connect"));
  };
  const flaky = { connect, query: pool.query.bind(pool) } as unknown as Pool;
  const payments = new PaymentProvider({ url: provider.url, concurrencyMax: 4, queueMax: 100, timeoutMs: 60_000 });
  return new Checkout(flaky, PAYMENT_TIMEOUT_MS, { timeouts, provider: payments, stock, followUps: undefined });
}

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

/** The requests of one customer, as the routes make them: a key, and the request as its fingerprint. */
function customer(): {
  readonly keys: Idempotency;
  /** As Redis does when the retention is over. */
  readonly forgetAll: () => Promise<void>;
  readonly pay: (key: string, orderId: string) => Promise<Paid>;
  readonly place: (key: string, amountCents: number, quantity: number, by: Checkout) => Promise<Placed>;
} {
  const name = randomUUID();
  const keys = new Idempotency(servers.client, name, { leaseMs: 60_000, commandTimeoutMs: 60_000 });
  const forgetAll = async (): Promise<void> => {
    const stored = await servers.client.keys(`*{idempotency:${name}:*`);
    expect(stored.length).toBeGreaterThan(0);
    await servers.client.del(stored);
  };
  const pay = async (key: string, orderId: string): Promise<Paid> =>
    (await keys.run(key, { fingerprint: `pay ${orderId}` }, (attempt) => checkout.pay(orderId, attempt))).value;
  const placeUnder = async (key: string, amountCents: number, quantity: number, by: Checkout): Promise<Placed> => {
    const wanted = { amountCents, lines: quantity === 0 ? [] : [{ sku: "mug", quantity }] };
    const { value } = await keys.run(key, { fingerprint: wanted }, (attempt) => by.place(wanted, attempt));
    return value;
  };
  return { keys, forgetAll, pay, place: placeUnder };
}

describe("a key that a customer uses for two orders", () => {
  it("is refused for the second one although the database was away right after the first one's charge", async () => {
    const { pay } = customer();
    const [cheap, dear] = [await place(), await place()];
    provider.beforeAnswer = () => {
      away = 1;
      provider.beforeAnswer = () => Promise.resolve();
      return Promise.resolve();
    };
    await expect(pay("K", cheap)).rejects.not.toHaveProperty("effect");
    expect(provider.takenFor(cheap)).toBe(1);
    await expect(pay("K", dear)).rejects.toBeInstanceOf(FingerprintMismatchError);
    expect(await database.statusOf(dear)).toBe("PENDING_PAYMENT");
    expect(await pay("K", cheap)).toEqual({ kind: "paid" });
    expect(provider.takenFor(cheap)).toBe(1);
  });

  it("pays each of them once when it was forgotten in between", async () => {
    const { keys, pay } = customer();
    const [monday, tuesday] = [await place(), await place()];
    expect(await pay("K", monday)).toEqual({ kind: "paid" });
    await keys.forget("K");
    expect(await pay("K", tuesday)).toEqual({ kind: "paid" });
    expect([provider.takenFor(monday), provider.takenFor(tuesday)]).toEqual([1, 1]);
  });

  it("places the first one only, also when it was forgotten in between: the second one is another order", async () => {
    const { keys, forgetAll, place: placeUnder } = customer();
    const key = randomUUID();
    const first = await placeUnder(key, 100, 0, checkout);
    expect(first.kind).toBe("placed");
    // Whether or not the next attempt is told of an earlier one.
    for (const forget of [() => keys.forget(key), forgetAll]) {
      await forget();
      expect(await placeUnder(key, 777, 0, checkout)).toEqual({ kind: "mismatch" });
      await forget();
      expect(await placeUnder(key, 100, 0, checkout)).toEqual(first);
    }
  });
});

describe("a payment that the provider refuses as voided", () => {
  async function payVoided(): Promise<{ readonly id: string; readonly paid: Promise<Paid> }> {
    const id = await place();
    const key = randomUUID();
    await database.pool.query("UPDATE orders SET payment_key = $2 WHERE id = $1", [id, key]);
    provider.charges.set(key, { orderId: id, taken: 0, voided: true });
    return { id, paid: checkout.pay(id, null) };
  }

  it("leaves a pending order pending: nobody has paid it", async () => {
    const { id, paid } = await payVoided();
    await expect(paid).rejects.toMatchObject({ name: "ProviderFailedError", statusCode: 502 });
    expect(await database.statusOf(id)).toBe("PENDING_PAYMENT");
    expect(provider.takenFor(id)).toBe(0);
  });

  it("is lost when its order has timed out", async () => {
    const answered = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    provider.beforeAnswer = () => {
      asked.resolve();
      return answered.promise;
    };
    const { id, paid } = await payVoided();
    await asked.promise;
    await database.pool.query("UPDATE orders SET status = 'PAYMENT_TIMEOUT', decided_at = now() WHERE id = $1", [id]);
    answered.resolve();
    expect(await paid).toEqual({ kind: "lost", status: "PAYMENT_TIMEOUT" });
  });
});

describe("units that an earlier attempt has reserved", () => {
  let shelf: Inventory;
  let shop: Checkout;
  beforeEach(async () => {
    const options = { name: randomUUID(), prefix: database.name, commandTimeoutMs: 60_000 };
    shelf = new Inventory(servers.client, options.name, options);
    await shelf.restock({ operationId: "delivery", lines: [{ sku: "mug", quantity: 3 }] });
    shop = checkoutWith(new Stock(servers.client, database.pool, { ...options, paymentTimeoutMs: PAYMENT_TIMEOUT_MS }));
  });

  /** A customer whose first attempt has reserved, and found no database. */
  async function reservedOnly(): Promise<{
    readonly id: string;
    readonly endsAtMs: number;
    readonly again: (amountCents?: number) => Promise<Placed>;
  }> {
    const { place: placeUnder } = customer();
    const key = randomUUID();
    away = 1;
    await expect(placeUnder(key, 100, 1, shop)).rejects.not.toHaveProperty("effect");
    const ids: string[] = [];
    for await (const movement of shelf.movements()) if (movement.kind === "reserve") ids.push(movement.id);
    const [id = ""] = ids;
    const held = await shelf.outcome(id);
    const endsAtMs = held.kind === "reserved" ? held.expiresAtMs : Number.NaN;
    return { id, endsAtMs, again: (amountCents = 100) => placeUnder(key, amountCents, 1, shop) };
  }

  it("are held anew for the order that is stored now: its customer has the whole time to pay", async () => {
    const { id, endsAtMs, again } = await reservedOnly();
    await new Promise((resolve) => setTimeout(resolve, 60));
    const placed = await again();
    expect(placed).toMatchObject({ kind: "placed", order: { id, status: "PENDING_PAYMENT" } });
    const held = await shelf.outcome(id);
    expect(held).toMatchObject({ kind: "reserved", state: "held" });
    expect(held.kind === "reserved" && held.expiresAtMs).toBeGreaterThanOrEqual(endsAtMs + 50);
  });

  it("and that are free again are no order", async () => {
    const { id, again } = await reservedOnly();
    await shelf.release({ reservationId: id });
    expect(await again()).toEqual({ kind: "ended" });
    expect(await database.statusOf(id)).toBeUndefined();
  });

  it("keep their key for the request that has reserved them", async () => {
    const { again } = await reservedOnly();
    await expect(again(999)).rejects.toBeInstanceOf(FingerprintMismatchError);
    expect(await again()).toMatchObject({ kind: "placed" });
  });

  it("are not those of another basket under a key that was forgotten", async () => {
    const { forgetAll, place: placeUnder } = customer();
    const key = randomUUID();
    expect(await placeUnder(key, 100, 1, shop)).toMatchObject({ kind: "placed" });
    await forgetAll();
    expect(await placeUnder(key, 100, 2, shop)).toEqual({ kind: "mismatch" });
    expect(await shelf.level("mug")).toEqual({ onHand: 3, reserved: 1, available: 2 });
  });
});
