/**
 * The Lua script that everybody writes: looking and taking are one step, and a cart is a key with a ttl.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Redis } from "ioredis";
import type { Orders } from "./orders.ts";
import { counterKey, type Shop, type ShopSettings } from "./shop.ts";

const TAKE = `
if tonumber(redis.call("GET", KEYS[1])) < 1 then
  return 0
end
redis.call("DECR", KEYS[1])
redis.call("SET", KEYS[2], 1, "PX", ARGV[1])
return 1`;

/** The shop of the second tutorial. */
export class PlainLuaShop implements Shop {
  private readonly redis: Redis;
  private readonly orders: Orders;
  private readonly settings: ShopSettings;

  constructor(redis: Redis, orders: Orders, settings: ShopSettings) {
    this.redis = redis;
    this.orders = orders;
    this.settings = settings;
  }

  async take(): Promise<string | null> {
    const cart = randomUUID();
    const { prefix, holdMs } = this.settings;
    const taken = await this.redis.eval(TAKE, 2, counterKey(prefix), this.cartKey(cart), holdMs);
    return taken === 1 ? cart : null;
  }

  async pay(cart: string, buyer: string): Promise<boolean> {
    await sleep(this.settings.chargeMs);
    // Whoever deletes the cart sells it, so no cart is sold twice.
    if ((await this.redis.del(this.cartKey(cart))) === 0) return false;
    await this.orders.record(cart, buyer);
    return true;
  }

  async close(): Promise<void> {
    // There is nothing in the background.
  }

  private cartKey(cart: string): string {
    return `${this.settings.prefix}:cart:${cart}`;
  }
}
