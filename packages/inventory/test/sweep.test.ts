/** Holds that nobody ends: returned by a bounded sweep, whoever calls it and however often. */
import { beforeEach, expect, it } from "vitest";
import { Inventory } from "../src/index.ts";
import { bucketKeys } from "../src/keys.ts";
import { endHolds, openClients, passed, patient, proxiedServer, serverMs } from "./clients.ts";

const line = (sku: string, quantity: number): { sku: string; quantity: number } => ({ sku, quantity });
const open = openClients();
const place = proxiedServer();

let stock: Inventory;

beforeEach(async () => {
  stock = new Inventory(open(place.server), "shop", patient);
  await stock.restock({ operationId: "k", lines: [line("mug", 500)] });
});

/** Carts that nobody comes back for. @returns when the last of them ends */
async function abandon(carts: number, lines = [line("mug", 1)], holdMs = 60_000): Promise<number> {
  const held = await Promise.all(
    Array.from({ length: carts }, (_, cart) => stock.reserve({ reservationId: `cart-${cart}`, holdMs, lines })),
  );
  return Math.max(...held.map((each) => (each.kind === "reserved" ? each.expiresAtMs : Number.NaN)));
}

/** The ids of expired holds, in the order of the log. */
async function expired(): Promise<string[]> {
  const ids: string[] = [];
  for await (const { kind, id } of stock.movements()) if (kind === "expire") ids.push(id);
  return ids;
}

it("V4 a sweep returns at most as many holds as it is told to, the oldest first, and says when there are more", async () => {
  await abandon(25);
  await endHolds(place.server);
  await place.server.call("ZADD", bucketKeys("holdfast", "shop", 0).due, "XX", 0, "cart-7");
  expect(await stock.sweep({ holdsMax: 1 })).toMatchObject({ expired: 1, more: true });
  expect(await expired()).toEqual(["cart-7"]);
  expect(await stock.sweep({ holdsMax: 20 })).toMatchObject({ expired: 20, more: true });
  expect(await stock.sweep({ holdsMax: 20 })).toEqual({ expired: 4, more: false, nextExpiryAtMs: null });
  expect(await stock.level("mug")).toEqual({ onHand: 500, reserved: 0, available: 500 });
});

it("V4 many sweeps at once return each hold once", async () => {
  await abandon(150);
  await endHolds(place.server);
  const sweepers = Array.from({ length: 6 }, () => new Inventory(open(place.server), "shop", patient));
  const swept = await Promise.all(
    sweepers.map(async (sweeper) => {
      let count = 0;
      for (let more = true; more;) {
        const result = await sweeper.sweep({ holdsMax: 7 });
        count += result.expired;
        ({ more } = result);
      }
      return count;
    }),
  );
  expect(swept.reduce((sum, count) => sum + count, 0)).toBe(150);
  const ids = await expired();
  expect(ids).toHaveLength(150);
  expect(new Set(ids).size).toBe(150);
  expect((await stock.level("mug")).available).toBe(500);
});

it("V4 a sweep that races with confirmations ends each reservation once", async () => {
  const endMs = await abandon(100, [line("mug", 1)], 500);
  const other = new Inventory(open(place.server), "shop", patient);
  let confirmed = 0;
  await passed(place.server, endMs - 60);
  const sweeping = (async () => {
    while ((await expired()).length + confirmed < 100) await other.sweep({ holdsMax: 9 });
  })();
  for (let cart = 0; cart < 100; cart += 1) {
    if ((await stock.confirm({ reservationId: `cart-${cart}` })).kind === "confirmed") confirmed += 1;
  }
  await sweeping;
  expect(await expired()).toHaveLength(100 - confirmed);
  expect(await stock.level("mug")).toEqual({ onHand: 500 - confirmed, reserved: 0, available: 500 - confirmed });
});

it("V4 a script returns about a thousand lines of due holds at most: large baskets come back in several", async () => {
  const lines = Array.from({ length: 600 }, (_, index) => line(`sku-${index}`, 1));
  await stock.restock({ operationId: "many", lines: lines.map(({ sku }) => line(sku, 4)) });
  await abandon(4, lines);
  await endHolds(place.server);
  expect(await stock.sweep()).toMatchObject({ expired: 2, more: true });
  expect(await stock.sweep()).toMatchObject({ expired: 2, more: false });
  expect(await stock.level("sku-599")).toEqual({ onHand: 4, reserved: 0, available: 4 });
});

it("K8 holds that are long by right do not keep a sweep from those that the clock has made too long", async () => {
  const { due, recordsA } = bucketKeys("holdfast", "shop", 0);
  await abandon(25, [line("mug", 1)], 3_600_000);
  // As when the clock has gone back by a day since.
  const dayMs = 86_400_000;
  for (let cart = 0; cart < 25; cart += 1) {
    const record = String(await place.server.call("HGET", recordsA, `cart-${cart}`));
    const later = record.replaceAll(/\d{13}/gu, (ms) => String(Number(ms) + dayMs));
    await place.server.call("HSET", recordsA, `cart-${cart}`, later);
    await place.server.call("ZINCRBY", due, dayMs, `cart-${cart}`);
  }
  // What a sweep has shortened it meets again with the next, once.
  for (let sweep = 0; sweep < 6; sweep += 1) expect(await stock.sweep({ holdsMax: 10 })).toMatchObject({ expired: 0 });
  const latest = (await place.server.call("ZRANGE", due, -1, -1, "WITHSCORES")) as [string, string];
  expect(Number(latest[1]) - (await serverMs(place.server))).toBeLessThanOrEqual(3_600_001);
  expect(await stock.level("mug")).toEqual({ onHand: 500, reserved: 25, available: 475 });
});

it("K8 a hold that the clock has made too long lasts its length from an extension on, or what is asked for", async () => {
  const { due, recordsA, stock: counters } = bucketKeys("holdfast", "shop", 0);
  await abandon(2);
  const hourMs = 3_600_000;
  // As when the clock has gone back by an hour since.
  for (const id of ["cart-0", "cart-1"]) {
    const record = String(await place.server.call("HGET", recordsA, id));
    const later = record.replaceAll(/\d{13}/gu, (ms) => String(Number(ms) + hourMs));
    await place.server.call("HSET", recordsA, id, later);
    await place.server.call("ZINCRBY", due, hourMs, id);
  }
  await place.server.call("HINCRBY", counters, "#next", hourMs);
  const leftMs = async (id: string, holdMs: number): Promise<number> => {
    const extended = await stock.extend({ reservationId: id, operationId: `extend ${id}`, holdMs });
    return extended.kind === "extended" ? extended.expiresAtMs - (await serverMs(place.server)) : Number.NaN;
  };
  const short = await leftMs("cart-0", 1_000);
  expect(short).toBeGreaterThan(30_000);
  expect(short).toBeLessThanOrEqual(60_001);
  const long = await leftMs("cart-1", 120_000);
  expect(long).toBeGreaterThan(60_001);
  expect(long).toBeLessThanOrEqual(120_001);
  // The next look at due holds is in time for the earlier end, too.
  const next = Number(await place.server.call("HGET", counters, "#next"));
  expect(next - (await serverMs(place.server))).toBeLessThanOrEqual(60_001);
});
