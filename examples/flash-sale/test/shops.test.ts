/** Each shop alone, step by step: what the usual ones do wrong is no matter of speed or of luck, and the inventory does not. */
import { migrate, reconcile } from "@holdfast/postgres";
import { pollUntil, PostgresServer, RedisServer } from "@holdfast/testkit";
import { Redis } from "ioredis";
import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { SKU } from "../src/course.ts";
import { GetDecrShop } from "../src/get-decr-shop.ts";
import { HoldfastShop, saleInventory } from "../src/holdfast-shop.ts";
import { createOrders, Orders } from "../src/orders.ts";
import { readLedger } from "../src/outcome.ts";
import { PlainLuaShop } from "../src/plain-lua-shop.ts";
import { counterKey, type Shop, type ShopSettings } from "../src/shop.ts";

/** A cart lasts for longer than any test, and a payment long enough for another one to come in between. */
const settings: ShopSettings = { prefix: "sale", holdMs: 60_000, chargeMs: 50 };
/** A cart is over soon. */
const brief: ShopSettings = { ...settings, holdMs: 300 };

let redisServer: RedisServer;
let postgres: PostgresServer;
let redis: Redis;
let pool: pg.Pool;
let orders: Orders;
const shops: Shop[] = [];

beforeAll(async () => {
  [redisServer, postgres] = await Promise.all([RedisServer.start(), PostgresServer.start()]);
  redis = new Redis(redisServer.url);
  const { host, port, user, password, database } = postgres;
  pool = new pg.Pool({ host, port, user, password, database, max: 4 });
  await createOrders(pool);
  await migrate(pool);
  orders = new Orders(pool);
});
afterAll(async () => {
  redis.disconnect();
  await pool.end();
  await Promise.all([redisServer.stop(), postgres.stop()]);
});
beforeEach(async () => {
  await redis.flushall();
  await pool.query("TRUNCATE orders, holdfast.ledger_cursors, holdfast.ledger_movements, holdfast.ledger_balances");
});
afterEach(async () => {
  for (const shop of shops.splice(0)) await shop.close();
});

function opened<Kind extends Shop>(shop: Kind): Kind {
  shops.push(shop);
  return shop;
}

/** So many units on the shelf of a shop that counts in one key. */
const counted = (units: number): Promise<unknown> => redis.set(counterKey(settings.prefix), units);
const left = async (): Promise<number> => Number(await redis.get(counterKey(settings.prefix)));

describe("GET and DECR", () => {
  it("oversells: two replicas look, both see the last unit, both sell it", async () => {
    await counted(1);
    const replicas = [1, 2].map(() => opened(new GetDecrShop(redis, orders, settings)));
    const paid = await Promise.all(
      replicas.map(async (shop, buyer) => {
        const cart = await shop.take();
        return cart !== null && shop.pay(cart, `buyer-${buyer}`);
      }),
    );
    expect(paid).toEqual([true, true]);
    expect(await orders.buyers()).toHaveLength(2);
    expect(await left()).toBe(-1);
  });
});

describe("the usual Lua script", () => {
  it("counts a request that is sent again twice", async () => {
    await counted(2);
    const shop = opened(new PlainLuaShop(redis, orders, settings));
    // The answer to the first one was lost.
    await shop.take();
    const cart = await shop.take();
    expect(await shop.pay(String(cart), "buyer")).toBe(true);
    expect(await left()).toBe(0);
    expect(await orders.buyers()).toEqual(["buyer"]);
  });

  it("loses what is in a cart that nobody pays", async () => {
    await counted(1);
    const shop = opened(new PlainLuaShop(redis, orders, brief));
    const cart = String(await shop.take());
    await pollUntil("the cart is gone", async () => (await redis.exists(`${settings.prefix}:cart:${cart}`)) === 0);
    expect(await shop.take()).toBeNull();
    expect([await left(), (await orders.buyers()).length]).toEqual([0, 0]);
  });

  it("tells a buyer who was charged that the unit is gone, when the answer to the payment was lost", async () => {
    await counted(1);
    const shop = opened(new PlainLuaShop(redis, orders, settings));
    const cart = String(await shop.take());
    expect(await shop.pay(cart, "buyer")).toBe(true);
    expect(await shop.pay(cart, "buyer")).toBe(false);
  });
});

describe("the inventory", () => {
  it("sells the last unit to one of two replicas' buyers, and takes a request that is sent again as one", async () => {
    await using stock = saleInventory(redis, settings.prefix, settings.holdMs);
    await stock.restock({ operationId: "delivery", lines: [{ sku: SKU, quantity: 2 }] });
    const [one, two] = [1, 2].map(() => opened(new HoldfastShop(redis, pool, orders, settings))) as [
      HoldfastShop,
      HoldfastShop,
    ];
    const carts = await Promise.all([one.take("a"), two.take("a"), one.take("b"), two.take("c")]);
    expect(carts.slice(0, 2)).toEqual(["a", "a"]);
    expect(carts.slice(2).filter((cart) => cart !== null)).toHaveLength(1);
    expect((await stock.level(SKU)).available).toBe(0);
  });

  it("has what was in an abandoned cart back, answers a payment twice alike, and its ledger agrees with the orders", async () => {
    await using stock = saleInventory(redis, brief.prefix, brief.holdMs);
    await stock.restock({ operationId: "delivery", lines: [{ sku: SKU, quantity: 1 }] });
    const shop = opened(new HoldfastShop(redis, pool, orders, brief));
    expect(await shop.take("abandoned")).toBe("abandoned");
    const patient = async (): Promise<string> => {
      for (let visit = 1; ; visit += 1) {
        const cart = await shop.take(`patient-${visit}`);
        if (cart === null) continue;
        // On a slow machine the cart may be over before it is paid.
        if (await shop.pay(cart, "patient")) return cart;
      }
    };
    const cart = await patient();
    expect(await shop.pay(cart, "patient")).toBe(true);
    expect(await orders.buyers()).toEqual(["patient"]);
    const findings = await readLedger(pool, stock);
    expect(findings).toMatchObject({ sold: 1, unmatched: 0, drift: 0 });
    expect(findings.expired).toBeGreaterThan(0);
    expect((await reconcile(pool, stock)).drift).toEqual([]);
  });
});
