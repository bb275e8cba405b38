/**
 * GET and DECR: is there one left? Then charge the card, and take it off.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Redis } from "ioredis";
import type { Orders } from "./orders.ts";
import { counterKey, type Shop, type ShopSettings } from "./shop.ts";

/** The shop of the first tutorial. */
export class GetDecrShop implements Shop {
  private readonly redis: Redis;
  private readonly orders: Orders;
  private readonly settings: ShopSettings;

  constructor(redis: Redis, orders: Orders, settings: ShopSettings) {
    this.redis = redis;
    this.orders = orders;
    this.settings = settings;
  }

  async take(): Promise<string | null> {
    return (await this.left()) > 0 ? randomUUID() : null;
  }

  async pay(_cart: string, buyer: string): Promise<boolean> {
    if ((await this.left()) <= 0) return false;
    await sleep(this.settings.chargeMs);
    await this.redis.decr(counterKey(this.settings.prefix));
    await this.orders.record(randomUUID(), buyer);
    return true;
  }

  async close(): Promise<void> {
    // There is nothing in the background.
  }

  private async left(): Promise<number> {
    return Number(await this.redis.get(counterKey(this.settings.prefix)));
  }
}
