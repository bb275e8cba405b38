/**
 * Billing with Holdfast: each order has a key, under which it is billed once. Whoever takes over from a dead replica charges under the key
 * that the dead one had used at the provider, and the books take an order once, whoever enters it.
 */
import { Idempotency } from "@holdfast/idempotency";
import { StreamConsumer } from "@holdfast/idempotency/consumer";
import { idempotentTransaction } from "@holdfast/postgres";
import { Redis } from "ioredis";
import pg from "pg";
import {
  charge,
  CONCURRENCY_MAX,
  enter,
  GROUP,
  orderOf,
  streamKey,
  type Billing,
  type BillingOptions,
  type OnDelivery,
} from "./billing.ts";

/** Billing that bills each order once. */
export class OnceBilling implements Billing {
  private readonly redis: Redis;
  private readonly pool: pg.Pool;
  private readonly idempotency: Idempotency;
  private readonly consumer: StreamConsumer;

  constructor(options: BillingOptions, onDelivery: OnDelivery) {
    const { name, prefix, leaseMs, takeOverAfterMs } = options;
    this.redis = new Redis(options.redisUrl);
    this.pool = new pg.Pool({ connectionString: options.databaseUrl });
    this.idempotency = new Idempotency(this.redis, "billing", { prefix, leaseMs });
    this.consumer = new StreamConsumer(
      this.redis,
      this.idempotency,
      {
        stream: streamKey(prefix),
        group: GROUP,
        consumer: name,
        // The order, not the entry: an order that was sent twice is still one order.
        messageId: ({ id, fields }) => {
          onDelivery(id);
          return orderOf(fields).id;
        },
        concurrencyMax: CONCURRENCY_MAX,
        minIdleMs: takeOverAfterMs,
        onEvent: (event) => {
          if (event.type === "failed" || event.type === "read-failed")
            process.stderr.write(`${event.type}: ${String(event.error)}\n`);
        },
      },
      async ({ fields }, attempt) => {
        const order = orderOf(fields);
        const number = await charge(options, order, attempt.downstreamKey);
        const key = { name: "receipts", tenant: "shop", key: order.id, fingerprint: order };
        await idempotentTransaction(this.pool, key, (tx) => enter(tx, order, number));
      },
    );
  }

  start(): Promise<void> {
    return this.consumer.start();
  }

  async stop(): Promise<void> {
    await this.consumer.stop({ graceMs: 60_000 });
    await this.idempotency.close();
    this.redis.disconnect();
    await this.pool.end();
  }
}
