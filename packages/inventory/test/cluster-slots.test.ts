/** What spans slots really does: buckets of a hot sku, and a basket over every master of a Cluster. */
import { Cluster } from "ioredis";
import { expect, it } from "vitest";
import { confirmAcross, reserveAcross } from "../src/index.ts";
import { bucketKeys, bucketOf } from "../src/keys.ts";
import { usePlace } from "./places.ts";

const line = (sku: string, quantity: number): { sku: string; quantity: number } => ({ sku, quantity });
const place = usePlace("a Cluster");

function cluster(): Cluster {
  if (!(place.client instanceof Cluster)) throw new TypeError("not a Cluster");
  return place.client;
}

/** An id that the given bucket decides. */
function idIn(bucket: number): string {
  for (let index = 0; ; index += 1) if (bucketOf(`buyer-${index}`, 4) === bucket) return `buyer-${index}`;
}

it("V9 buckets lie in slots of their own, and each sells what it has to fetch from another", async () => {
  const stock = place.inventory({ buckets: { hot: 4 } });
  await stock.restock({ operationId: "delivery", lines: [line("hot", 4)] });
  for (let bucket = 0; bucket < 4; bucket += 1) {
    const order = { operationId: idIn(bucket), lines: [line("hot", 1)] };
    expect((await stock.decrement(order)).kind).toBe("decremented");
  }
  expect(await stock.level("hot")).toEqual({ onHand: 0, reserved: 0, available: 0 });
  const keys = [0, 1, 2, 3].map((bucket) => bucketKeys("holdfast", stock.name, bucket).stock);
  const slots = await Promise.all(keys.map((key) => cluster().cluster("KEYSLOT", key)));
  expect(new Set(slots).size).toBe(4);
});

it("V3 a basket over every master is reserved and confirmed as one, or not at all", async () => {
  // Whatever their names are: of so many every master has some.
  const stocks = Array.from({ length: 24 }, () => place.inventory());
  const parts = stocks.map((stock) => ({ stock, reservationId: "order", lines: [line("mug", 2)] }));
  await Promise.all(stocks.map((stock) => stock.restock({ operationId: "delivery", lines: [line("mug", 3)] })));
  const keys = stocks.map(({ name }) => bucketKeys("holdfast", name, 0).stock);
  for (const master of cluster().nodes("master")) {
    expect((await master.keys("*")).filter((key) => keys.includes(key)).length).toBeGreaterThan(0);
  }
  const stands = async (): Promise<Set<string>> =>
    new Set(await Promise.all(stocks.map(async (stock) => JSON.stringify(await stock.level("mug")))));
  const left = new Set([JSON.stringify({ onHand: 1, reserved: 0, available: 1 })]);
  expect((await reserveAcross(parts)).kind).toBe("reserved");
  expect((await confirmAcross(parts)).kind).toBe("confirmed");
  expect(await stands()).toEqual(left);
  const again = parts.map((part) => ({ ...part, reservationId: "too much" }));
  expect((await reserveAcross(again)).kind).toBe("insufficient");
  expect(await stands()).toEqual(left);
});
