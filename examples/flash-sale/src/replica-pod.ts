/**
 * One replica of the shop: two routes, and whatever shop `REPLICA` asks for behind them.
 */
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { reportReady } from "@holdfast/testkit";
import { Redis } from "ioredis";
import pg from "pg";
import type { ShopKind } from "./course.ts";
import { GetDecrShop } from "./get-decr-shop.ts";
import { HoldfastShop } from "./holdfast-shop.ts";
import { Orders } from "./orders.ts";
import { PlainLuaShop } from "./plain-lua-shop.ts";
import type { Shop, ShopSettings } from "./shop.ts";

/** What a replica is told. */
export interface ReplicaSettings extends ShopSettings {
  readonly kind: ShopKind;
  readonly redisUrl: string;
  readonly databaseUrl: string;
}

/** What a buyer sends; a probe sends nothing of it. */
interface Order {
  readonly request: string;
  readonly buyer: string;
  readonly cart: string;
}

const CONNECTIONS = 4;

const settings = JSON.parse(process.env["REPLICA"] ?? "") as ReplicaSettings;
const redis = new Redis(settings.redisUrl);
redis.on("error", (error) => process.stderr.write(`${error.message}\n`));
const pool = new pg.Pool({ connectionString: settings.databaseUrl, max: CONNECTIONS });
pool.on("error", (error) => process.stderr.write(`${error.message}\n`));
const shop = shopOf(settings.kind);

function shopOf(kind: ShopKind): Shop {
  const orders = new Orders(pool);
  if (kind === "get-decr") return new GetDecrShop(redis, orders, settings);
  if (kind === "plain-lua") return new PlainLuaShop(redis, orders, settings);
  return new HoldfastShop(redis, pool, orders, settings);
}

async function answer(request: IncomingMessage): Promise<unknown> {
  let text = "";
  for await (const chunk of request) text += String(chunk);
  const order = JSON.parse(text) as Order;
  if (request.url === "/ready") return true;
  if (request.url === "/cart") return shop.take(order.request);
  return shop.pay(order.cart, order.buyer);
}

const server = createServer((request, response) => {
  answer(request).then(
    (value) => response.end(JSON.stringify(value)),
    (error: unknown) => {
      process.stderr.write(`${String(error)}\n`);
      response.statusCode = 500;
      response.end();
    },
  );
});

process.once("SIGTERM", () => {
  server.close();
  void shop
    .close()
    .then(() => pool.end())
    .finally(() => process.exit());
});

// Nobody should wait for what could have been opened before the sale.
await Promise.all([redis.ping(), ...Array.from({ length: CONNECTIONS }, () => pool.query("SELECT 1"))]);
server.listen(0, "127.0.0.1", () => reportReady(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
