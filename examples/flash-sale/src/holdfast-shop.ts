/**
 * The inventory: a cart is a reservation under the buyer's request, so that a request sent twice is one; it ends sold, or by time. What
 * moves goes into the ledger in PostgreSQL, from every replica.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Inventory } from "@holdfast/inventory";
import { applyMovements } from "@holdfast/postgres";
import type { Redis } from "ioredis";
import type pg from "pg";
import { SKU } from "./course.ts";
import type { Orders } from "./orders.ts";
import type { Shop, ShopSettings } from "./shop.ts";

const LEDGER_EVERY_MS = 250;
/** A machine that stands still for seconds is no Redis that does not answer. */
const COMMAND_TIMEOUT_MS = 30_000;

/** The inventory of the sale, the same for all replicas. */
export function saleInventory(redis: Redis, prefix: string, holdMs: number): Inventory {
  return new Inventory(redis, "sale", { prefix, holdMs, commandTimeoutMs: COMMAND_TIMEOUT_MS });
}

/** The shop that holds. */
export class HoldfastShop implements Shop {
  private readonly stock: Inventory;
  private readonly orders: Orders;
  private readonly settings: ShopSettings;
  private readonly stop = new AbortController();
  private readonly ledger: Promise<void>;

  constructor(redis: Redis, pool: pg.Pool, orders: Orders, settings: ShopSettings) {
    this.stock = saleInventory(redis, settings.prefix, settings.holdMs);
    this.orders = orders;
    this.settings = settings;
    this.ledger = this.keepLedger(pool);
  }

  async take(request: string): Promise<string | null> {
    for (;;) {
      const taken = await this.stock.reserve({ reservationId: request, lines: [{ sku: SKU, quantity: 1 }] });
      // Units of carts that have ended are still being returned: that is no "sold out".
      if (taken.kind === "busy") continue;
      return taken.kind === "reserved" && taken.state === "held" ? request : null;
    }
  }

  async pay(cart: string, buyer: string): Promise<boolean> {
    await sleep(this.settings.chargeMs);
    const paid = await this.stock.confirm({ reservationId: cart });
    if (paid.kind !== "confirmed" && paid.kind !== "already-confirmed") return false;
    // Written again under the same id when a replica died between the two.
    await this.orders.record(cart, buyer);
    return true;
  }

  async close(): Promise<void> {
    this.stop.abort();
    await this.ledger;
    await this.stock.close();
  }

  /** Any number of replicas may do this at once: a movement is applied once. */
  private async keepLedger(pool: pg.Pool): Promise<void> {
    const { signal } = this.stop;
    while (!signal.aborted) {
      await applyMovements(pool, this.stock, { signal }).catch((error: unknown) => {
        if (!signal.aborted) process.stderr.write(`the ledger waits: ${String(error)}\n`);
      });
      await sleep(LEDGER_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}
