/**
 * Billing as careful people write it: acknowledges only what is done, takes over what a dead replica has left, looks into the books before
 * it charges, enters receipt and earnings in one transaction, and finishes its charges on SIGTERM. There is no bug in it to be fixed:
 * between the charge and the acknowledgement a process can be killed, and the message comes again.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import pg from "pg";
import {
  charge,
  CONCURRENCY_MAX,
  enter,
  GROUP,
  isEntered,
  orderOf,
  streamKey,
  type Billing,
  type BillingOptions,
  type OnDelivery,
} from "./billing.ts";
import type { Order } from "./course.ts";

type Entry = [id: string, fields: string[]];

const PAUSE_MS = 50;

/** Billing that acknowledges after the work. */
export class AcknowledgedBilling implements Billing {
  private readonly options: BillingOptions;
  private readonly onDelivery: OnDelivery;
  private readonly stream: string;
  private readonly redis: Redis;
  private readonly pool: pg.Pool;
  private readonly working = new Map<string, Promise<void>>();
  private readonly stopping = new AbortController();
  private loop: Promise<void> = Promise.resolve();

  constructor(options: BillingOptions, onDelivery: OnDelivery) {
    this.options = options;
    this.onDelivery = onDelivery;
    this.stream = streamKey(options.prefix);
    this.redis = new Redis(options.redisUrl);
    this.pool = new pg.Pool({ connectionString: options.databaseUrl });
  }

  async start(): Promise<void> {
    this.loop = this.run();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.loop;
    await Promise.all(this.working.values());
    this.redis.disconnect();
    await this.pool.end();
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      const entries = await this.take(CONCURRENCY_MAX - this.working.size).catch((error: unknown) => {
        process.stderr.write(`the stream was not read: ${String(error)}\n`);
        return [];
      });
      for (const [id, fields] of entries)
        this.working.set(
          id,
          this.bill(id, fields).finally(() => this.working.delete(id)),
        );
      if (entries.length === 0) await sleep(PAUSE_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** What others have left behind first, then what is new. */
  private async take(room: number): Promise<Entry[]> {
    if (room === 0) return [];
    const { name, takeOverAfterMs } = this.options;
    const [, abandoned] = (await this.redis.xautoclaim(
      this.stream,
      GROUP,
      name,
      takeOverAfterMs,
      "0-0",
      "COUNT",
      room,
    )) as [string, Entry[]];
    const left = room - abandoned.length;
    if (left === 0) return abandoned;
    const reply = (await this.redis.xreadgroup("GROUP", GROUP, name, "COUNT", left, "STREAMS", this.stream, ">")) as
      | [string, Entry[]][]
      | null;
    return [...abandoned, ...(reply?.[0]?.[1] ?? [])].filter(([id]) => !this.working.has(id));
  }

  private async bill(messageId: string, flat: readonly string[]): Promise<void> {
    this.onDelivery(messageId);
    try {
      const order = orderOf(Object.fromEntries(pairsOf(flat)));
      // A message that came again, after a crash between the books and the acknowledgement.
      if (!(await isEntered(this.pool, order))) {
        // A key of its own for each call, as the provider's client library makes it for its retries.
        await this.enter(order, await charge(this.options, order, randomUUID()));
      }
      await this.redis.xack(this.stream, GROUP, messageId);
    } catch (error) {
      // Not acknowledged, so it comes again.
      process.stderr.write(`${messageId}: ${String(error)}\n`);
    }
  }

  private async enter(order: Order, number: string): Promise<void> {
    const client = await this.pool.connect();
    try {
      await client.query("BEGIN");
      // Whoever charged the same order at the same time has entered it: once is enough.
      if (!(await isEntered(client, order))) await enter(client, order, number);
      await client.query("COMMIT");
    } catch (error) {
      await client.query("ROLLBACK");
      throw error;
    } finally {
      client.release();
    }
  }
}

function pairsOf(flat: readonly string[]): [string, string][] {
  return flat.flatMap((field, index) => (index % 2 === 0 ? [[field, flat[index + 1] ?? ""] as [string, string]] : []));
}
