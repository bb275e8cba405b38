import { pollUntil, PostgresServer, RedisServer } from "@holdfast/testkit";
import { migrate } from "@holdfast/postgres";
import { Redis } from "ioredis";
import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { AcknowledgedBilling } from "../src/acknowledged-billing.ts";
import { enter, GROUP, openBooks, streamKey, type Billing, type BillingOptions } from "../src/billing.ts";
import { OnceBilling } from "../src/once-billing.ts";
import { readBooks } from "../src/outcome.ts";
import { PaymentProvider } from "../src/payment-provider.ts";

let redisServer: RedisServer;
let postgres: PostgresServer;
let redis: Redis;
let pool: pg.Pool;
beforeAll(async () => {
  [redisServer, postgres] = await Promise.all([RedisServer.start(), PostgresServer.start()]);
  redis = new Redis(redisServer.url);
  pool = new pg.Pool({ connectionString: postgres.url });
  await migrate(pool);
});
afterAll(async () => {
  redis.disconnect();
  await pool.end();
  await Promise.all([redisServer.stop(), postgres.stop()]);
});

let provider: PaymentProvider;
let options: BillingOptions;
beforeEach(async () => {
  await redis.flushall();
  await openBooks(pool);
  provider = await PaymentProvider.start();
  options = {
    name: "replica-2",
    databaseUrl: postgres.url,
    redisUrl: redisServer.url,
    prefix: "test",
    providerUrl: provider.url,
    takeOverAfterMs: 1,
    leaseMs: 5_000,
  };
  await redis.xgroup("CREATE", streamKey("test"), GROUP, "0", "MKSTREAM");
});
afterEach(async () => {
  await provider[Symbol.asyncDispose]();
  await pool.query("DROP TABLE receipts, earnings; TRUNCATE holdfast.idempotency_keys");
});

/** Bills until everything is acknowledged. */
async function billed(make: (options: BillingOptions, onDelivery: (id: string) => void) => Billing): Promise<number> {
  let deliveries = 0;
  const billing = make(options, () => {
    deliveries += 1;
  });
  await billing.start();
  const isAcknowledged = async (): Promise<boolean> => {
    const [summary] = (await redis.xpending(streamKey("test"), GROUP)) as [number];
    return summary === 0 && deliveries > 0;
  };
  await pollUntil("every message is acknowledged", isAcknowledged, { timeoutMs: 120_000 });
  await billing.stop();
  return deliveries;
}

const order = { id: "order-1", amountCents: 1_999 };

/** A replica has taken the order's message and was killed. */
async function takenByTheDead(): Promise<void> {
  await redis.xadd(streamKey("test"), "*", "order", order.id, "amountCents", order.amountCents);
  await redis.xreadgroup("GROUP", GROUP, "replica-1", "STREAMS", streamKey("test"), ">");
}

/** The scenario would prove little if the usual code were bad code. */
describe.each([
  ["the usual code", (...args: ConstructorParameters<typeof AcknowledgedBilling>) => new AcknowledgedBilling(...args)],
  ["the code with keys", (...args: ConstructorParameters<typeof OnceBilling>) => new OnceBilling(...args)],
])("%s", (_name, make) => {
  it("charges an order, enters it into the books, and acknowledges it", async () => {
    await redis.xadd(streamKey("test"), "*", "order", order.id, "amountCents", order.amountCents);
    expect(await billed(make)).toBeGreaterThanOrEqual(1);
    expect(provider.bookings).toEqual([{ orderId: order.id, amountCents: order.amountCents }]);
    expect(await readBooks(pool)).toEqual({ receipts: 1, earningsCents: order.amountCents });
  });

  it("takes over what a dead replica has left behind", async () => {
    await takenByTheDead();
    await billed(make);
    expect(provider.bookings).toHaveLength(1);
    expect(await readBooks(pool)).toMatchObject({ receipts: 1 });
  });
});

describe("an order that is in the books and whose replica died before the acknowledgement", () => {
  it("is recognised by the usual code", async () => {
    await takenByTheDead();
    await enter(pool, order, "ch_0");
    await billed((...args) => new AcknowledgedBilling(...args));
    expect(provider.bookings).toEqual([]);
  });
});
