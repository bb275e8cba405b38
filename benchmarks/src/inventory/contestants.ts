/** How each contestant is set up. */
import { Inventory } from "@holdfast/inventory";
import type { InventoryOptions } from "@holdfast/inventory";
import type { Bench } from "../figure.ts";
import { withRedis } from "../load.ts";
import { Peers } from "./floor.ts";

/** More than any figure sells. */
export const plenty = 1_000_000_000;

/** Ids of 16 characters. */
export function idOf(index: number): string {
  return `order-${String(index).padStart(10, "0")}`;
}

/** Names of skus. */
export function skusOf(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `sku-${index}`);
}

/** The sku of an order, in no order. */
export function skuOf(skus: readonly string[], index: number): string {
  return skus[(index * 7_919) % skus.length] as string;
}

/** Runs with an inventory that has plenty of each sku. */
export function withStock<Value>(
  bench: Bench,
  skus: readonly string[],
  fn: (stock: Inventory) => Promise<Value>,
  options: InventoryOptions = {},
): Promise<Value> {
  return withRedis(bench, async (redis) => {
    await using stock = new Inventory(redis, "bench", options);
    const lines = skus.map((sku) => ({ sku, quantity: plenty }));
    await stock.restock({ operationId: "delivery", lines });
    return await fn(stock);
  });
}

/** Runs with the peers' scripts and plenty of each sku. */
export function withPeers<Value>(
  bench: Bench,
  skus: readonly string[],
  fn: (peers: Peers) => Promise<Value>,
): Promise<Value> {
  return withRedis(bench, async (redis) => {
    const peers = new Peers(redis);
    await peers.stock(skus, plenty);
    return fn(peers);
  });
}
