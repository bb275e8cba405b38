/** Counting while others sell: a seed overwrites nothing that moved since it was counted, also when it is repeated or stopped halfway. */
import { beforeEach, describe, expect, it } from "vitest";
import { Inventory, startCursor, type Cursor } from "../src/index.ts";
import { openClients, passed, patient, proxiedServer } from "./clients.ts";

const line = (sku: string, quantity: number): { sku: string; quantity: number } => ({ sku, quantity });

let stock: Inventory;
const open = openClients();
const place = proxiedServer();

beforeEach(() => {
  stock = new Inventory(open(place.server), "shop", patient);
});

/** Where the log stands, read without returning a due hold. */
async function lastCursor(): Promise<Cursor> {
  let cursor = startCursor;
  for await (const { sequence, stamp } of stock.movements()) cursor = { sequence, stamp };
  return cursor;
}

describe("a reseed", () => {
  it("V6 of many skus that stopped halfway and is repeated does not overwrite what was sold in between", async () => {
    const snapshot = Array.from({ length: 1_500 }, (_, index) => ({ sku: `sku-${index}`, onHand: 5 }));
    await stock.seed(snapshot, { ifCursor: startCursor });
    const ifCursor = await stock.cursor();
    const count = snapshot.map(({ sku }) => ({ sku, onHand: 6 }));
    const first = await stock.seed(count.slice(0, 1_000), { ifCursor, operationId: "s" });
    await stock.decrement({ operationId: "sold", lines: [line("sku-1400", 2)] });
    // What a process does that has died after the first thousand, and begins again.
    const now = await stock.cursor();
    expect(await stock.seed(count, { ifCursor, operationId: "s" })).toEqual({ kind: "moved", cursor: now });
    expect((await stock.level("sku-1400")).onHand).toBe(3);
    // A repeat stands where the first one stood, whatever was sold since.
    expect(await stock.seed(count.slice(0, 1_000), { ifCursor, operationId: "s" })).toEqual(first);
  });

  it("V6 stands behind the holds that it returned, and where nothing moved where the log stood, also when repeated", async () => {
    await stock.restock({ operationId: "k", lines: [line("mug", 5)] });
    for (const onHand of [5, 4]) {
      const held = await stock.reserve({ reservationId: `r${onHand}`, holdMs: 50, lines: [line("mug", 2)] });
      const ifCursor = await lastCursor();
      await passed(place.server, held.kind === "reserved" ? held.expiresAtMs : 0);
      const operationId = `s${onHand}`;
      const seeded = await stock.seed({ mug: onHand }, { ifCursor, operationId });
      expect(seeded).toEqual({ kind: "seeded", cursor: await stock.cursor() });
      await stock.restock({ operationId: `${operationId} later`, lines: [line("cup", 1)] });
      expect(await stock.seed({ mug: onHand }, { ifCursor, operationId })).toEqual(seeded);
    }
  });

  it("V6 of none on an empty shelf stands at the start, also when repeated", async () => {
    const options = { ifCursor: startCursor, operationId: "s" };
    expect(await stock.seed({ mug: 0 }, options)).toEqual({ kind: "seeded", cursor: startCursor });
    await stock.restock({ operationId: "k", lines: [line("mug", 1)] });
    expect(await stock.seed({ mug: 0 }, options)).toEqual({ kind: "seeded", cursor: startCursor });
  });

  it("V6 that races with sales overwrites none: it stands right behind the place that it was counted at", async () => {
    await stock.restock({ operationId: "k", lines: [line("mug", 1_000)] });
    const seeds = new Map<string, number>();
    const over = new AbortController();
    const sales = Array.from({ length: 4 }, async (_, buyer) => {
      const shop = new Inventory(open(place.server), "shop", patient);
      for (let turn = 0; turn < 60; turn += 1) {
        await shop.decrement({ operationId: `d${buyer}-${turn}`, lines: [line("mug", 1)] });
      }
    });
    const counting = (async () => {
      for (let turn = 0; !over.signal.aborted || seeds.size === 0; turn += 1) {
        const ifCursor = await stock.cursor();
        const { onHand } = await stock.level("mug");
        // Somebody found one more.
        const seeded = await stock.seed({ mug: onHand + 1 }, { ifCursor, operationId: `s${turn}` });
        if (seeded.kind === "seeded") seeds.set(`s${turn}`, ifCursor.sequence);
      }
    })();
    await Promise.all(sales);
    over.abort();
    await counting;
    let found = 0;
    for await (const { kind, id, sequence, changes } of stock.movements()) {
      if (kind !== "seed") continue;
      found += 1;
      expect(changes).toEqual([{ sku: "mug", onHand: 1, reserved: 0 }]);
      expect(sequence).toBe((seeds.get(id) as number) + 1);
    }
    expect(found).toBe(seeds.size);
    expect((await stock.level("mug")).onHand).toBe(1_000 - 240 + found);
  });
});
